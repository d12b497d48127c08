"""The texts that the demo counts: those of a folder, or the documents of the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from caraway.exceptions import LocalError
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHECKOUT: Final = Path(__file__).parents[3]
"""The root of the repository, where this is a checkout of it."""
SUFFIXES: Final = (".adoc", ".log", ".md", ".org", ".rst", ".tex", ".text", ".txt")
LARGE_SHARE: Final = 4
"""One file in so many is large: it goes to the ECS-style worker."""


@dataclass(frozen=True)
class Document:
    """A text file.

    Attributes
    ----------
    name
        Its path below the folder.
    """

    name: str
    content: bytes

    @property
    def text(self) -> str:
        """The text; bytes that are not UTF-8 are replaced."""
        return self.content.decode(errors="replace")


def documents(folder: Path | None) -> list[Document]:
    """Return the texts of a folder and of the folders in it; by default the project's own.

    Raises
    ------
    LocalError
        If there are fewer than two: each door is to have one.
    """
    if folder is None:
        place, files = CHECKOUT, _own_documents()
    else:
        place, files = folder, (file for file in folder.rglob("*") if file.suffix in SUFFIXES)
    found = [
        Document(file.relative_to(place).as_posix(), file.read_bytes())
        for file in sorted(files)
        if file.is_file() and not _is_hidden(file.relative_to(place))
    ]
    found = [document for document in found if document.content.strip()]
    if len(found) < 2:
        where = f"{folder} has" if folder else "there are"
        raise LocalError(
            f"{where} fewer than two texts to count: name a folder with text files "
            f"({', '.join(SUFFIXES)}), as in: caraway demo ~/notes"
        )
    return found


def split(found: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Return the smaller ones and the large ones: one in :data:`LARGE_SHARE`, at least one."""
    by_size = sorted(found, key=lambda document: len(document.content))
    small = len(by_size) - max(1, len(by_size) // LARGE_SHARE)
    return by_size[:small], by_size[small:]


def _own_documents() -> Iterable[Path]:
    """Yield the documents of the checkout; none where Caraway is installed without them."""
    if not (CHECKOUT / "pyproject.toml").is_file():
        return
    yield from CHECKOUT.glob("*.md")
    yield from (CHECKOUT / "docs").rglob("*.md")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
