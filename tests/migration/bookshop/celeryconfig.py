from celery.schedules import crontab

broker_connection_retry_on_startup = True
broker_transport_options = {"visibility_timeout": 3600}
result_expires = 3600
result_extended = True

task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
timezone = "Europe/Berlin"
enable_utc = True

task_acks_late = True
task_reject_on_worker_lost = True
task_track_started = True
task_soft_time_limit = 60
task_time_limit = 90
worker_prefetch_multiplier = 1
worker_max_tasks_per_child = 200
worker_send_task_events = True

task_default_queue = "celery"
task_routes = {
    "bookshop.reports.*": {"queue": "reports"},
}

beat_schedule = {
    "forget-old-carts": {
        "task": "bookshop.orders.tasks.forget_old_carts",
        "schedule": crontab(minute="*/15"),
        "kwargs": {"days": 3},
        "options": {"expires": 600},
    },
    "report-every-night": {
        "task": "bookshop.reports.tasks.nightly",
        "schedule": crontab(hour=3, minute=0),
    },
}
