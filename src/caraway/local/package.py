"""Builds the zip that a Lambda function runs: its dependencies, Caraway, the user's code.

The dependencies are installed once for each set of requirements. Caraway itself is copied from
where it runs now, so that a checkout, an editable install and an installed release all package
exactly what runs here; what it requires comes from its own metadata.

The package is for the local engine, which runs it on this machine with this Python. For AWS,
``sam build`` installs the same requirements for Lambda's platform.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from caraway.exceptions import LocalError
from caraway.local.cache import build_once, cache_folder, python_key, say_nothing
from caraway.local.environment import engine_environment, pip_install

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caraway.local.cache import Progress

PACKAGE_NAME = "package.zip"
KEPT = "caraway-dev.json"
"""A folder with a file of this name holds a local AWS, not code."""

_CARAWAY = Path(__file__).parents[1]
_EXTRA = "lambda"  # of Caraway's extras, the one whose packages the Lambda worker imports
_DEPENDENCIES = "dependencies.zip"

# Never code, at any depth; and folders that lie beside the code of a project.
_NO_CODE = re.compile(r"__pycache__|\..*|.*\.py[co]|.*\.egg-info")
_BESIDE_CODE = {"build", "dist", "docs", "htmlcov", "node_modules", "test", "tests"}
# What pip writes about the installation: of no use at run time, and different each time.
_ABOUT_INSTALLING = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}
_INCLUDES = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]\s*(\S+)", re.MULTILINE)


def build_package(
    target_dir: Path,
    requirements: Path | None,
    sources: Sequence[Path],
    *,
    caraway: bool = True,
    progress: Progress = say_nothing,
) -> Path:
    """Build the zip of a Lambda function, ``package.zip`` in `target_dir`, and return its path.

    The same input gives the same bytes.

    Parameters
    ----------
    target_dir
        Folder for the zip; it is created if need be.
    requirements
        The requirements file of the function's code, or None. A line that names Caraway means the
        Caraway that runs now.
    sources
        Modules, packages and other files; each goes to the zip's root under its own name. See
        :func:`project_sources`.
    caraway
        Put in Caraway and what its Lambda worker needs.
    progress
        Is told when dependencies have to be installed.

    Raises
    ------
    LocalError
        If a file is missing, if two things claim one name, or if pip fails: with its last lines.
    """
    target_dir.mkdir(parents=True, exist_ok=True)
    package = target_dir / PACKAGE_NAME
    partial = package.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    if caraway or requirements:
        shutil.copyfile(_dependencies(requirements, caraway, progress), partial)
    with zipfile.ZipFile(partial, "a", zipfile.ZIP_DEFLATED) as archive:
        for source in [*sources, *([_CARAWAY] if caraway else [])]:
            _add(archive, source)
    partial.replace(package)
    return package


def project_sources(folder: Path) -> list[Path]:
    """Modules and folders at the top of a project, sorted: its code, with the data in its folders.

    Left out are virtual environments, tests, documents, build products, what is hidden, and files
    other than modules.
    """
    return sorted(
        entry
        for entry in folder.iterdir()
        if not _NO_CODE.fullmatch(entry.name)
        and (
            entry.suffix == ".py"
            if entry.is_file()
            else entry.name not in _BESIDE_CODE
            and not any((entry / marker).exists() for marker in ("pyvenv.cfg", KEPT))
        )
    )


def _dependencies(requirements: Path | None, caraway: bool, progress: Progress) -> Path:
    """Zip of everything that pip installs for these requirements."""
    name, about = _own_metadata()
    wanted = _content(requirements) if requirements else b""
    key = python_key(wanted, about if caraway else b"")

    def build(folder: Path) -> None:
        progress("Installing the dependencies of the Lambda package (only the first time)")
        wheel, installed = folder / f"{name}-py3-none-any.whl", folder / "installed"
        _write_wheel(wheel, name, about)
        # The wheel stands for Caraway wherever a requirement names it, with an extra or without.
        own = [str(wheel), f"caraway[{_EXTRA}] @ {wheel.as_uri()}"]
        arguments = own if caraway else []
        if requirements:
            arguments += ["--requirement", str(requirements)]
        pip_install(engine_environment(progress), ["--target", str(installed), *arguments])
        _prune(installed)
        with zipfile.ZipFile(folder / _DEPENDENCIES, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in sorted(installed.iterdir()):
                _add(archive, entry)
        shutil.rmtree(installed)

    return build_once(cache_folder() / "packages" / key, build, progress) / _DEPENDENCIES


def _own_metadata() -> tuple[str, bytes]:
    """Name and version of this Caraway as in a wheel's name, and its metadata's fields."""
    try:
        own = metadata.distribution("caraway")
    except metadata.PackageNotFoundError as error:
        raise LocalError(
            "Caraway is imported but not installed, so what it requires is not known: "
            "install it, from a checkout with pip install -e ."
        ) from error
    # Without what follows the fields, the README: nothing has to be installed anew for that.
    fields, _, _readme = (own.read_text("METADATA") or "").partition("\n\n")
    return f"caraway-{own.version}", f"{fields}\n".encode()


def _write_wheel(wheel: Path, name: str, about: bytes) -> None:
    """Write a wheel of Caraway's metadata alone; the code follows when a package is built."""
    folder = f"{name}.dist-info"
    files = {
        "METADATA": about,
        "WHEEL": b"Wheel-Version: 1.0\nGenerator: caraway\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
        "RECORD": "".join(
            f"{folder}/{file},,\n" for file in ("METADATA", "WHEEL", "RECORD")
        ).encode(),
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, content in files.items():
            archive.writestr(f"{folder}/{file}", content)


def _content(requirements: Path) -> bytes:
    """All that a requirements file says, with the files that it includes."""
    try:
        content = requirements.read_text(encoding="utf-8")
    except OSError as error:
        raise LocalError(f"{requirements} cannot be read: {error.strerror}") from error
    included = [_content(requirements.parent / name) for name in _INCLUDES.findall(content)]
    return b"\0".join([content.encode(), *included])


def _prune(installed: Path) -> None:
    """Remove what no program needs at run time."""
    shutil.rmtree(installed / "bin", ignore_errors=True)
    for folder in [*installed.rglob("tests")]:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in installed.glob("*.dist-info"):
        for file in _ABOUT_INSTALLING:
            (folder / file).unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, source: Path) -> None:
    """Add a file, or a folder with its files, under its own name."""
    if not source.exists():
        raise LocalError(f"{source} was to be packaged, and does not exist")
    taken = set(archive.namelist())
    for file in _files(source):
        name = file.relative_to(source.parent).as_posix()
        if name in taken:
            raise LocalError(
                f"{file} would replace {name}, which is in the package already: rename it"
            )
        # A fixed date and fixed rights: the same files give the same bytes everywhere.
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (0o755 if file.stat().st_mode & 0o100 else 0o644) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, file.read_bytes())


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        yield source
        return
    for entry in sorted(source.iterdir()):
        if not _NO_CODE.fullmatch(entry.name):
            yield from _files(entry)
