"""Settings of a small project; those of Caraway begin with CARAWAY_."""

from __future__ import annotations

from pathlib import Path

from caraway import Queue

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "only-for-this-machine"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "mysite.urls"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = ["contact"]
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},  # two processes write
    }
}

# Each mail becomes a file, so that there is something to look at.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = BASE_DIR / "sent_mail"
CONTACT_ADDRESS = "team@example.com"

# A worker beside the web server, as it needs the same SQLite file.
CARAWAY_TASK_QUEUES = [Queue("default", consumer="ecs")]
