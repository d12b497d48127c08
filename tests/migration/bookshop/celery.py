import os

from celery import Celery
from celery.schedules import crontab
from celery.signals import task_failure, task_success

app = Celery(
    "bookshop",
    broker=os.environ.get("BROKER_URL", "redis://localhost:6379/0"),
    backend=os.environ.get("RESULT_BACKEND", "redis://localhost:6379/1"),
)
app.config_from_object("bookshop.celeryconfig")
app.autodiscover_tasks(["bookshop.orders", "bookshop.reports"])

failures = []
finished = []


@app.on_after_finalize.connect
def setup_periodic_tasks(sender, **kwargs):
    sender.add_periodic_task(
        crontab(hour=7, minute=30, day_of_week=1),
        sender.signature("bookshop.reports.tasks.best_sellers", args=(7,)),
        name="best-sellers-on-mondays",
    )


@task_failure.connect
def count_failure(sender=None, task_id=None, exception=None, **kwargs):
    failures.append((sender.name, type(exception).__name__))


@task_success.connect
def count_success(sender=None, result=None, **kwargs):
    finished.append(sender.name)


@app.task(bind=True, ignore_result=True)
def debug_task(self):
    print(f"Request: {self.request!r}")
