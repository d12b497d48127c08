"""Caraway and Celery on SQS side by side: the same troubles, counted in the same way."""
