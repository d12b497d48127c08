"""The request of a running task by Celery's names."""

from __future__ import annotations

from typing import Any

from caraway.core.context import Context
from caraway.core.message import Message
from tests.yard import Yard


def test_a_request_has_all_of_celerys_names() -> None:
    yard = Yard()
    seen: list[Any] = []

    @yard.app.task(bind=True, name="look")
    def look(self: Any, x: int, *, y: int) -> None:
        request = self.request
        seen.append((request.id == request.correlation_id, request.argsrepr, request.kwargsrepr))
        seen.append(request.properties)
        seen.append([getattr(request, name) for name in ("origin", "reply_to", "logfile")])
        seen.append((request.loglevel, request.utc, request.replaced_task_nesting))

    result = look.delay(1, y=2)
    yard.work()
    assert seen == [
        (True, "(1,)", "{'y': 2}"),
        {"correlation_id": result.id},
        [None, None, None],
        (None, True, 0),
    ]


def test_a_request_says_its_message_group_and_hides_sensitive_arguments() -> None:
    message = Message("i", "t", args=("secret",), group_id="tenant")
    request = Context(id="i", args=("secret",), sensitive=True, message=message)
    assert request.properties == {"correlation_id": "i", "MessageGroupId": "tenant"}
    assert "secret" not in request.argsrepr + request.kwargsrepr + repr(request)
