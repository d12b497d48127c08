"""Caraway: Celery's task API on SQS, Lambda, ECS, DynamoDB and EventBridge."""

from caraway._version import __version__

__all__ = ["__version__"]
