"""How many cases tests make up: enough in the suite, and many more with ``make deep``."""

from __future__ import annotations

import os
from typing import Final

DEPTH: Final = int(os.environ.get("DEPTH", "1"))


def examples(number: int) -> int:
    """Return how many examples to try where the suite tries so many."""
    return number * DEPTH
