from celery import Task, chain, chord, group, shared_task
from celery.exceptions import Ignore, MaxRetriesExceededError
from celery.utils.log import get_task_logger

logger = get_task_logger(__name__)

# In place of the database, the payment gateway and the mail server.
charged = {}
answers = {}
mails = []
cancelled = []


class GatewayDown(Exception):
    pass


class OrderTask(Task):
    abstract = True

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        logger.error("%s[%s] failed: %s", self.name, task_id, exc)


@shared_task(bind=True, base=OrderTask, max_retries=3, default_retry_delay=5)
def charge(self, order_id, amount):
    logger.info("charging order %s, attempt %s", order_id, self.request.retries + 1)
    try:
        if answers.get(order_id, []) and answers[order_id].pop(0) == "down":
            raise GatewayDown("the gateway does not answer")
    except GatewayDown as exc:
        try:
            raise self.retry(exc=exc, countdown=2**self.request.retries)
        except MaxRetriesExceededError:
            logger.error("giving up on order %s", order_id)
            raise
    charged[order_id] = amount
    return order_id


@shared_task
def reserve(order_id, isbn):
    if isbn == "out of print":
        raise LookupError(isbn)
    return {"order": order_id, "isbn": isbn}


@shared_task
def pack(parcels, order_id):
    return f"{order_id}: {len(parcels)} books"


@shared_task(
    autoretry_for=(ConnectionError,),
    retry_backoff=True,
    retry_backoff_max=60,
    retry_jitter=False,
    retry_kwargs={"max_retries": 2},
    rate_limit="10/m",
)
def send_mail(label, to):
    if answers.get(to, []) and answers[to].pop(0) == "refused":
        raise ConnectionError(to)
    mails.append((to, label))
    return label


@shared_task
def order_failed(request, exc, traceback, order_id=None):
    cancelled.append((order_id, type(exc).__name__))


@shared_task(bind=True)
def forget_old_carts(self, days):
    if days < 1:
        self.update_state(state="SKIPPED", meta={"days": days})
        raise Ignore()
    return days


def place_order(order_id, isbns, to):
    """Charge, then reserve each book, pack them, and tell the customer."""
    reserved = chord(
        group(reserve.si(order_id, isbn) for isbn in isbns),
        pack.s(order_id),
    )
    workflow = chain(charge.si(order_id, 10 * len(isbns)), reserved, send_mail.s(to))
    return workflow.apply_async(link_error=order_failed.s(order_id=order_id))
