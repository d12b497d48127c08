"""Workflows through both doors on the local engine, every message of which comes twice.

``make twice`` does so with larger ones.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from caraway import Queue
from tests.integration.conftest import PATIENCE_S
from tests.twice.doors import duplicates, run_all
from tests.twice.loads import compositions, send_all_kinds, send_chord
from tests.unit.canvas.stage import Script

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Place
    from tests.twice.doors import Consumer, Kind
    from tests.twice.loads import Check

pytestmark = pytest.mark.usefixtures("unmeasured", "loggers_as_they_were")


@pytest.mark.parametrize(
    ("consumer", "kind", "send"),
    [
        ("lambda", "invoked twice", send_all_kinds),
        ("lambda", "invoked twice", partial(send_chord, size=150)),
        ("ecs", "received again", send_all_kinds),
        ("ecs", "sent twice", partial(send_all_kinds, every=3)),
        ("ecs", "sent twice", partial(send_chord, size=205)),
    ],
)
def test_what_comes_twice_takes_effect_once(
    local: Place, consumer: Consumer, kind: Kind, send: Callable[[Script], Check]
) -> None:
    app = local.app(Queue("default", consumer=consumer))
    with duplicates(kind) as doubled:
        check = send(Script(app, named=False))
        run_all(local, app, consumer, kind, 4 * PATIENCE_S)
    check()
    # A message that is to come again may be gone before it does.
    assert doubled.delivered > 1.9 * doubled.sent


def test_there_are_enough_kinds_of_workflows() -> None:
    assert len(compositions()) == 72
