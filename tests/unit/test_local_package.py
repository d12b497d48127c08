"""A package is the same for the same input, holds what runs, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from caraway.exceptions import LocalError
from caraway.local import package as room
from caraway.local.package import build_package, project_sources


@pytest.fixture
def installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record what pip is asked for; it installs one module with its tests and its records."""
    asked: list[list[str]] = []

    def pip_install(python: Path, arguments: list[str]) -> None:
        asked.append(arguments)
        target = Path(arguments[arguments.index("--target") + 1])
        for name in (
            "thing/__init__.py",
            "thing/tests/test_thing.py",
            "thing/__pycache__/x.pyc",
            "thing-1.dist-info/RECORD",
            "thing-1.dist-info/METADATA",
            "bin/thing",
        ):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text("content")

    monkeypatch.setenv("CARAWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(room, "pip_install", pip_install)
    monkeypatch.setattr(room, "engine_environment", lambda progress: Path("python"))
    monkeypatch.setattr(room, "_own_metadata", lambda: ("caraway-1.0", b"Name: caraway\n"))
    return asked


def names(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as archive:
        assert archive.testzip() is None
        return archive.namelist()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name in (
        "shop/__init__.py",
        "shop/build/rules.py",
        "shop/prices.json",
        "shop/__pycache__/tasks.pyc",
        "shop/.hidden",
        "settings.py",
        "tests/test_shop.py",
        "venv/pyvenv.cfg",
        ".git/config",
        "shop.egg-info/PKG-INFO",
        "README.md",
        "requirements.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def test_the_same_files_give_the_same_bytes(project: Path, tmp_path: Path) -> None:
    first = build_package(tmp_path / "1", None, project_sources(project), caraway=False)
    for file in project.rglob("*.py"):
        file.touch()
    second = build_package(tmp_path / "2", None, project_sources(project), caraway=False)
    assert first.read_bytes() == second.read_bytes()


def test_a_rebuilt_package_holds_nothing_of_the_one_before(project: Path, tmp_path: Path) -> None:
    build_package(tmp_path, None, [project / "shop"], caraway=False)
    package = build_package(tmp_path, None, [project / "settings.py"], caraway=False)
    assert names(package) == ["settings.py"]


def test_a_projects_code_and_data_are_packaged_and_nothing_beside_them(
    project: Path, tmp_path: Path
) -> None:
    package = build_package(tmp_path, None, project_sources(project), caraway=False)
    assert sorted(names(package)) == [
        "settings.py",
        "shop/__init__.py",
        "shop/build/rules.py",
        "shop/prices.json",
    ]


def test_a_file_that_can_be_run_stays_so(project: Path, tmp_path: Path) -> None:
    (project / "settings.py").chmod(0o750)
    package = build_package(tmp_path, None, [project / "settings.py"], caraway=False)
    with zipfile.ZipFile(package) as archive:
        assert archive.getinfo("settings.py").external_attr >> 16 == 0o755


def test_caraway_is_copied_from_where_it_runs(installs: list[list[str]], tmp_path: Path) -> None:
    packaged = names(build_package(tmp_path / "out", None, []))
    assert "caraway/exceptions.py" in packaged
    assert "caraway/local/engine.lock" in packaged
    assert not any("__pycache__" in name for name in packaged)


def test_dependencies_come_without_tests_caches_scripts_and_records(
    installs: list[list[str]], tmp_path: Path
) -> None:
    packaged = names(build_package(tmp_path / "out", None, []))
    assert [name for name in packaged if not name.startswith("caraway/")] == [
        "thing/__init__.py",
        "thing-1.dist-info/METADATA",
    ]


def test_pip_runs_once_for_the_same_requirements(
    installs: list[list[str]], project: Path, tmp_path: Path
) -> None:
    requirements = project / "requirements.txt"
    build_package(tmp_path / "out", requirements, [])
    (project / "settings.py").write_text("changed = True")
    build_package(tmp_path / "out", requirements, [project / "settings.py"])
    assert len(installs) == 1

    requirements.write_text("thing\n")
    build_package(tmp_path / "out", requirements, [])
    assert len(installs) == 2


def test_a_change_in_an_included_requirements_file_counts(
    installs: list[list[str]], project: Path, tmp_path: Path
) -> None:
    requirements, included = project / "requirements.txt", project / "more.txt"
    requirements.write_text("-c more.txt\nthing\n")
    for content in ("thing==1", "thing==2"):
        included.write_text(content)
        build_package(tmp_path / "out", requirements, [])
    assert len(installs) == 2


def test_the_running_caraway_stands_for_the_one_that_requirements_name(
    installs: list[list[str]], project: Path, tmp_path: Path
) -> None:
    build_package(tmp_path / "out", project / "requirements.txt", [])
    (asked,) = installs
    plain, with_extra = (argument for argument in asked if argument.endswith(".whl"))
    assert Path(plain).name == "caraway-1.0-py3-none-any.whl"
    assert with_extra == f"caraway[lambda] @ {Path(plain).as_uri()}"
    assert asked[-2:] == ["--requirement", str(project / "requirements.txt")]


def test_two_things_of_one_name_are_refused(installs: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "__init__.py").touch()
    with pytest.raises(LocalError, match=r"would replace thing/__init__\.py"):
        build_package(tmp_path / "out", None, [tmp_path / "thing"])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"shop\.py was to be packaged, and does not exist"):
        build_package(tmp_path / "out", None, [tmp_path / "shop.py"], caraway=False)
    with pytest.raises(LocalError, match=r"none\.txt cannot be read"):
        build_package(tmp_path / "out", tmp_path / "none.txt", [], caraway=False)


def test_what_caraway_requires_counts_and_its_readme_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def about(readme: str) -> bytes:
        text = f"Name: caraway\nRequires-Dist: boto3\n\n{readme}"
        own = SimpleNamespace(version="1.0", read_text=lambda _name: text)
        monkeypatch.setattr("importlib.metadata.distribution", lambda _name: own)
        return room._own_metadata()[1]

    assert about("# Caraway\n\nOld.") == about("# Caraway\n\nNew.")
    assert about("").endswith(b"Requires-Dist: boto3\n")
