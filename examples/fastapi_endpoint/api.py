"""An API that answers at once, while a task does the work."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Request, Response, status
from primes import app, count_primes
from pydantic import BaseModel, Field

api = FastAPI()


class Order(BaseModel):
    """What a client asks for."""

    limit: Annotated[int, Field(ge=2, le=20_000_000)]


class Started(BaseModel):
    """Where the client may look."""

    id: str
    status_url: str


class Status(BaseModel):
    """How far a task is."""

    state: str
    progress: Any = None
    result: int | None = None
    error: str | None = None


@api.post("/primes", status_code=status.HTTP_202_ACCEPTED)
async def start(order: Order, request: Request, response: Response) -> Started:
    """Start counting. The answer does not wait for it."""
    sent = await count_primes.adelay(order.limit)
    where = str(request.url_for("look", id=sent.id))
    response.headers["Location"] = where
    return Started(id=sent.id, status_url=where)


@api.get("/primes/{id}")
async def look(id: str) -> Status:
    """Say how far a task is. An id that nobody has sent is PENDING, too."""
    task = app.AsyncResult(id)
    info = await task.ainfo()
    state = await task.astate()  # after the info: it may have ended in between
    if state == "SUCCESS":
        return Status(state=state, result=await task.aget())
    if state == "FAILURE":
        return Status(state=state, error=repr(await task.aget(propagate=False)))
    return Status(state=state, progress=info)
