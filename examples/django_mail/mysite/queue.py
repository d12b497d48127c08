"""The project's Caraway app, set up as Celery's documentation sets up Celery."""

from __future__ import annotations

import os

from caraway import Caraway

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

app = Caraway("mysite")
app.config_from_object("django.conf:settings", namespace="CARAWAY")
app.autodiscover_tasks()
