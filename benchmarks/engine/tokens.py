"""The words of DynamoDB's expressions and of PartiQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from benchmarks.engine.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN: Final = re.compile(r"""\s*("[^"]*"|'[^']*'|[#:]?\w+|<>|<=|>=|[()\[\]{}=<>,+\-?:.*])""")


class Tokens:
    """Reads a text from its beginning to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = _TOKEN.findall(text)
        self._place = 0

    # -- tokens -------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether everything is read."""
        return self._place == len(self._tokens)

    @property
    def coming(self) -> str:
        """The next token as it is written, empty at the end."""
        return "" if self.is_over else self._tokens[self._place]

    def peek(self) -> str:
        """Return the next token in capitals, empty at the end."""
        return self.coming.upper()

    def next(self) -> str:
        """Return the next token, and go on."""
        if self.is_over:
            raise self.wrong()
        self._place += 1
        return self._tokens[self._place - 1]

    def skip(self, *tokens: str) -> bool:
        """Go on if these come next; say whether they did."""
        coming = [each.upper() for each in self._tokens[self._place : self._place + len(tokens)]]
        found = coming == list(tokens)
        self._place += len(tokens) * found
        return found

    def expect(self, *tokens: str) -> None:
        """Go on behind what has to come next."""
        if not self.skip(*tokens):
            raise self.wrong()

    def end(self) -> None:
        """Refuse what is left."""
        if not self.is_over:
            raise self.wrong()

    def wrong(self) -> Refused:
        """Return the error for what is not understood here."""
        before = " ".join(self._tokens[: self._place])
        return Refused(
            "ValidationException",
            f"The benchmarks' stub does not understand {self._text!r} behind {before!r}",
        )

    def listed(self, read: Callable[[], Any]) -> list[Any]:
        """Read one or more, with commas between them."""
        found = [read()]
        while self.skip(","):
            found.append(read())
        return found

    def name(self) -> str:
        """Read the name of an attribute, or of a placeholder for one."""
        token = self.next()
        if token[0] in "\"'":
            return token[1:-1]
        if not (token[0] == "#" or token[0] == "_" or token[0].isalnum()):
            raise self.wrong()
        if self.peek() in {".", "["}:  # a path into a document
            raise self.wrong()
        return token
