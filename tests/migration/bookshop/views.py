"""What a web framework would call: answers are dictionaries."""

from celery.exceptions import TimeoutError
from celery.result import AsyncResult, GroupResult

from bookshop.celery import app
from bookshop.orders.tasks import place_order


def order(order_id, isbns, to):
    result = place_order(order_id, isbns, to)
    return {"task_id": result.id}


def status(task_id):
    result = AsyncResult(task_id, app=app)
    answer = {"task_id": task_id, "state": result.state, "ready": result.ready()}
    if result.successful():
        answer["result"] = result.get()
    elif result.failed():
        answer["error"] = str(result.result)
    return answer


def wait(task_id, seconds):
    try:
        return AsyncResult(task_id, app=app).get(timeout=seconds)
    except TimeoutError:
        return None


def report(task_id):
    group_id = AsyncResult(task_id, app=app).get(timeout=10)
    parts = GroupResult.restore(group_id, app=app)
    return parts.join(timeout=10)


def cancel(task_id):
    app.control.revoke(task_id, terminate=True, signal="SIGKILL")
