"""The public face: what `import caraway` offers."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import caraway
from caraway import exceptions

SOURCE = Path(caraway.__file__).parent


@pytest.mark.parametrize("name", caraway.__all__)
def test_every_name_of_the_public_face_is_there(name: str) -> None:
    assert getattr(caraway, name) is not None


def test_the_public_face_is_what_dir_shows() -> None:
    assert dir(caraway) == sorted(caraway.__all__)
    assert set(caraway._WHERE) == set(caraway.__all__) - {"__version__"}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'caraway' has no attribute 'Celery'"):
        getattr(caraway, "Celery")  # noqa: B009
    with pytest.raises(ImportError):
        from caraway import Celery  # noqa: F401


def test_what_the_public_face_names_says_what_it_is() -> None:
    for name in caraway.__all__:
        assert getattr(caraway, name).__doc__, name


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_every_module_can_be_imported(path: Path) -> None:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    if parts[-1] not in ("__main__", "supervisor"):  # these run when they are imported
        import_module(".".join(parts).removesuffix(".__init__"))


def test_python_m_caraway_is_the_command_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "caraway", "--version"], capture_output=True, text=True, check=True
    )
    assert caraway.__version__ in ran.stdout


def test_the_tree_that_is_drawn_of_the_exceptions_is_theirs() -> None:
    drawn: dict[str, str | None] = {}
    above: list[str] = []
    for branch, name in re.findall(
        r"^    ([| ]*(?:\+-- )?)([A-Z]\w+)", exceptions.__doc__ or "", re.MULTILINE
    ):
        depth = len(branch) // 4
        del above[depth:]
        drawn[name] = above[-1] if above else None
        above.append(name)
    known = {
        name: each
        for name, each in vars(exceptions).items()
        if isinstance(each, type) and issubclass(each, exceptions.CarawayError)
    }
    classes = {
        name: next((base.__name__ for base in each.__bases__ if base.__name__ in known), None)
        for name, each in known.items()
    }
    assert drawn == classes


FORKING = """
import os
from caraway import Caraway
app = Caraway("shop")
port, site = app.aws, app.site
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, b"kept" if app.aws is port else b"made anew" * (app.site is site))
    os._exit(0)
os.close(writing)
os.wait()
print(os.read(reading, 99).decode(), "in the child,", "kept" if app.aws is port else "made anew")
"""


def test_a_forked_child_makes_connections_of_its_own() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "made anew in the child, kept\n"
