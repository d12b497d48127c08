from celery import current_app, group, shared_task

from bookshop.celery import app


@shared_task(soft_time_limit=20, time_limit=30)
def best_sellers(days):
    return [f"book {n}" for n in range(days)]


@app.task(bind=True)
def nightly(self, days=(1, 7)):
    self.update_state(state="PROGRESS", meta={"done": 0, "total": len(days)})
    parts = group(best_sellers.s(each) for each in days).apply_async()
    parts.save()
    return parts.id


@shared_task
def known_tasks():
    return sorted(name for name in current_app.tasks if name.startswith("bookshop."))
