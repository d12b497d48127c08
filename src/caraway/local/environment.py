"""Virtual environments for tools whose pins must not meet those of the user.

``python -m caraway.local.environment LOCKFILE`` prints the interpreter of the environment that
holds what the lock file names; it is built at the first call.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from caraway.exceptions import LocalError
from caraway.local.cache import build_once, cache_folder, python_key, say_nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caraway.local.cache import Progress

ENGINE_LOCK = Path(__file__).with_name("engine.lock")
"""The local engine, ministack, and all that it needs."""

_LAST_LINES = 12
# A user's settings of these send packages elsewhere than into the environment.
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER")


def engine_environment(progress: Progress = say_nothing) -> Path:
    """Interpreter of the local engine's environment; see :func:`environment`."""
    return environment(ENGINE_LOCK, progress)


def environment(lock: Path, progress: Progress = say_nothing) -> Path:
    """Interpreter of a virtual environment that holds what `lock` names, and pip.

    It is built once for each content of the lock file and each Python, in the cache folder.

    Parameters
    ----------
    lock
        A requirements file that names every package with its version, dependencies included.
    progress
        Is told when something has to be built, which takes some seconds and the network.

    Raises
    ------
    LocalError
        If the lock file cannot be read, or the environment cannot be built: with pip's last lines.
    """
    try:
        content = lock.read_bytes()
    except OSError as error:
        raise LocalError(f"{lock} cannot be read: {error.strerror}") from error

    def build(folder: Path) -> None:
        progress(f"Installing {lock.stem} into {folder} (only the first time)")
        run_python(
            Path(sys.executable),
            ["-m", "venv", str(folder)],
            "the virtual environment could not be made",
            "Install this Python's venv module (on Debian and Ubuntu: apt install python3-venv)",
        )
        pip_install(interpreter(folder), ["--no-deps", "--requirement", str(lock)])

    folder = cache_folder() / "environments" / f"{lock.stem}-{python_key(content)}"
    return interpreter(
        build_once(folder, build, progress, is_whole=lambda made: interpreter(made).exists())
    )


def interpreter(folder: Path) -> Path:
    """Return the interpreter of the virtual environment in `folder`."""
    return folder / "bin" / "python"


def pip_install(python: Path, arguments: Sequence[str]) -> None:
    """Install with the pip of `python`; the user's pip settings (index, proxy) hold.

    Nothing is compiled: of large packages only a few modules are ever imported.

    Raises
    ------
    LocalError
        If pip fails, with its last lines.
    """
    run_python(
        python,
        ["-m", "pip", "install", "--quiet", "--no-input", "--no-compile", *arguments],
        "pip could not install what is needed",
        "Check the network and pip's settings (pip config list), then try again",
    )


def run_python(python: Path, arguments: Sequence[str], failure: str, remedy: str) -> None:
    """Run `python` apart from the caller's Python settings.

    Raises
    ------
    LocalError
        If it fails: `failure`, the last lines that it wrote, and the `remedy`.
    """
    done = subprocess.run(  # noqa: S603 - the arguments are ours
        [python, "-I", *arguments],
        env={name: value for name, value in os.environ.items() if name not in _MISLEADING},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        last_lines = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-_LAST_LINES:])
        raise LocalError(f"{failure}:\n{last_lines}\n{remedy}.")


def main(arguments: Sequence[str]) -> int:
    """Print the interpreter of the environment of one lock file; progress goes to stderr."""
    if len(arguments) != 1:
        print("usage: python -m caraway.local.environment LOCKFILE", file=sys.stderr)  # noqa: T201
        return 2
    try:
        python = environment(
            Path(arguments[0]),
            lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
        )
    except LocalError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(python)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
