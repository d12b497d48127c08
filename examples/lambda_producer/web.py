"""A Lambda function behind API Gateway: it takes an order, and leaves the work to a task."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from orders import Order, app, confirm
from pydantic import ValidationError


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Answer an event of an HTTP API (payload format 2.0)."""
    match event["routeKey"]:
        case "POST /orders":
            return take(body_of(event))
        case "GET /orders/{id}":
            return look(event["pathParameters"]["id"])
    return answer(404, {"message": "not found"})


def body_of(event: dict[str, Any]) -> bytes:
    """Return what was posted; API Gateway encodes what does not call itself text or JSON."""
    body: str = event.get("body") or ""
    return b64decode(body) if event.get("isBase64Encoded") else body.encode()


def take(body: bytes) -> dict[str, Any]:
    """Start a task, and give its id back."""
    try:
        order = Order.model_validate_json(body)
    except ValidationError as error:
        return answer(422, {"errors": json.loads(error.json(include_url=False))})
    sent = confirm.delay(order)  # returns when SQS has the message: the function may end now
    return answer(202, {"id": sent.id, "status": f"/orders/{sent.id}"})


def look(id: str) -> dict[str, Any]:
    """Say what has become of an order."""
    task = app.AsyncResult(id)
    if not task.ready():
        return answer(200, {"state": task.state})
    if task.failed():
        return answer(200, {"state": task.state, "error": repr(task.result)})
    return answer(200, {"state": task.state, "total": str(task.result["total"])})


def answer(status: int, content: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as API Gateway takes it."""
    headers = {"content-type": "application/json"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(content)}
