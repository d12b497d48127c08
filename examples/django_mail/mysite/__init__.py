from .queue import app as queue_app

__all__ = ["queue_app"]
