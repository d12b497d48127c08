"""What the suites share: a profile for hypothesis, and one local engine for the whole session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from caraway.local.engine import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long an example takes says more about the machine than about the code.
settings.register_profile("caraway", deadline=None)
settings.load_profile("caraway")


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    """Yield a started engine; it is stopped, with all that runs in it, after the last test."""
    with LocalEngine(port=0) as started:
        yield started
