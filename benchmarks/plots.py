"""The plots of the page, one idea each: ``python -m benchmarks.plots FOLDER``.

It runs in the environment of ``plots.lock``; what it draws depends on the figures alone.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from benchmarks.figures import Figures, cpu, rate, requests
from benchmarks.systems import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.systems import System

OURS = ("#1b6e3c", "#58a55c", "#0f4c81", "#4c8fc4")
THEIRS = (
    "#c0392b",
    "#e07a5f",
    "#8e5a9b",
    "#b58bc0",
    "#b8860b",
    "#d9a441",
    "#555555",
    "#8c8c8c",
    "#17a2a2",
)
COLOURS_KEPT = 96
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 110,
}


def colours() -> dict[str, str]:
    """Return the colour of each system, the same in all plots and with more tasks at a time."""
    usual = [name for name, system in BY_NAME.items() if not system.like]
    ours = [name for name in usual if name.startswith("caraway")]
    theirs = [name for name in usual if name not in ours]
    known = dict(zip([*ours, *theirs], [*OURS, *THEIRS], strict=True))
    return {name: known[system.like or name] for name, system in BY_NAME.items()}


COLOURS = colours()


def bars(
    figures: Figures,
    of: Callable[[Any], float],
    title: str,
    unit: str,
    has: Callable[[System], bool] = lambda _: True,
) -> Any:
    """Draw a bar for each system, the median, with its range as a line."""
    measured = dict.fromkeys(row["system"] for row in figures.rows("work", ms=0))
    names = [each for each in measured if has(BY_NAME[each])][::-1]
    figure, axes = pyplot.subplots(figsize=(7.2, 0.36 * len(names) + 1.1))
    for place, name in enumerate(names):
        values = figures.values("work", of, system=name, ms=0)
        middle = median(values)
        axes.barh(place, middle, color=COLOURS[name], height=0.7)
        axes.plot([min(values), max(values)], [place, place], color="black", linewidth=1)
        axes.annotate(
            f"{middle:.2f}", (max(values), place), (4, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(names)), [BY_NAME[name].title for name in names])
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.1)
    return figure


def requests_per_task(figures: Figures) -> Any:
    """Draw requests to AWS; commands of Redis are another thing."""
    return bars(
        figures,
        requests,
        "What a worker asks AWS for",
        "requests per task",
        lambda system: system.broker == "aws",
    )


def cpu_per_task(figures: Figures) -> Any:
    return bars(figures, cpu, "What a task costs its worker", "CPU seconds per 1,000 tasks")


def throughput(figures: Figures) -> Any:
    """Draw tasks per second over the time that each request takes longer."""
    figure, axes = pyplot.subplots(figsize=(7.2, 4.4))

    def fastest(name: str) -> float:
        return -(figures.middle("work", rate, system=name, ms=0) or 0.0)

    for name in sorted(figures.systems("work"), key=fastest):  # the legend is in this order
        points = sorted({row["ms"] for row in figures.rows("work", system=name)})
        middles = [figures.middle("work", rate, system=name, ms=ms) for ms in points]
        style = "-" if name.startswith("caraway") else "--"
        if BY_NAME[name].like:
            style = ":"
        axes.plot(
            points,
            middles,
            style,
            marker="o",
            markersize=3.5,
            color=COLOURS[name],
            label=BY_NAME[name].title,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("ms added to each request")
    axes.set_ylabel("tasks per second (log)")
    axes.set_title("Throughput of one worker process, its queue full", loc="left", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def latency(figures: Figures) -> Any:
    """Draw which part of the calls have their result within a time."""
    figure, axes = pyplot.subplots(figsize=(7.2, 3.6))
    for name in figures.systems("latency"):
        rows = figures.rows("latency", system=name)
        taken = sorted(seconds * 1000 for row in rows for seconds in row["seconds"])
        parts = [(place + 1) / len(taken) * 100 for place in range(len(taken))]
        axes.step(taken, parts, where="post", color=COLOURS[name], label=BY_NAME[name].title)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ms (log)")
    axes.set_ylim(0, 102)
    axes.set_ylabel("% of calls that have it")
    axes.set_title(
        "From delay() to its result, on an idle queue, one call after the other",
        loc="left",
        fontsize=10,
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def growth(figures: Figures) -> Any:
    """Draw what a task costs over how many there are."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
    for axes, of, title in (
        (left, requests, "requests per task"),
        (right, cpu, "CPU s per 1,000 tasks"),
    ):
        for name in figures.systems("growth"):
            rows = figures.rows("growth", system=name)
            if of is requests and BY_NAME[name].broker != "aws":
                continue  # commands of Redis are another thing
            axes.plot(
                [row["tasks"] for row in rows],
                [of(row) for row in rows],
                marker="o",
                markersize=3.5,
                color=COLOURS[name],
                label=BY_NAME[name].title,
            )
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("tasks (log)")
        axes.set_title(f"Worker: {title}", loc="left", fontsize=10)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def memory(figures: Figures) -> Any:
    """Draw a worker's memory over the tasks that it has run."""
    figure, axes = pyplot.subplots(figsize=(7.2, 3.4))
    measured = {
        name: max(figures.rows("growth", system=name), key=lambda row: int(row["tasks"]))
        for name in figures.systems("growth")
    }
    most = max(row["tasks"] for row in measured.values())
    for name, row in measured.items():
        ran, megabytes = zip(*row["memory_mb"], strict=True)
        title = BY_NAME[name].title
        if row["tasks"] < most:  # too few to be seen as a line
            label = f"{title} (after {row['tasks']:,})"
            axes.axhline(megabytes[-1], color=COLOURS[name], linestyle=":", label=label)
        else:
            part = [each / 1000 for each in ran]
            axes.plot(part, megabytes, color=COLOURS[name], label=title, marker=".")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("thousand tasks run")
    axes.set_ylabel("resident MB")
    axes.set_title("A worker's memory over the tasks that it runs", loc="left", fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


PLOTS = {
    "requests": ("work", requests_per_task),
    "cpu": ("work", cpu_per_task),
    "throughput": ("work", throughput),
    "latency": ("latency", latency),
    "growth": ("growth", growth),
    "memory": ("growth", memory),
}


def main(folder: Path) -> None:
    """Draw each plot whose figures there are."""
    mpl.use("Agg")
    mpl.rcParams.update(STYLE)
    figures = Figures(folder)
    for name, (section, draw) in PLOTS.items():
        if figures.rows(section):
            drawn = draw(figures)
            keep(drawn, folder / f"{name}.png")
            pyplot.close(drawn)


def keep(drawn: Any, path: Path) -> None:
    """Write a plot with no more colours than it needs: it is kept in the repository."""
    whole = BytesIO()
    drawn.savefig(whole, bbox_inches="tight")
    Image.open(whole).convert("RGB").quantize(COLOURS_KEPT, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
