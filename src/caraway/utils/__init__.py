"""Small helpers with Celery's module names."""
