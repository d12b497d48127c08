"""What the suites share: one local engine, on a free port, for the whole session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from caraway.local.engine import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    """Yield a started engine; it is stopped, with all that runs in it, after the last test."""
    with LocalEngine(port=0) as started:
        yield started
