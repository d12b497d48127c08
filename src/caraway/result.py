"""The results of tasks and of groups of tasks, seen from the caller's side."""

from caraway.async_result import AsyncResult, EagerResult, allow_join_result

__all__ = ["AsyncResult", "EagerResult", "allow_join_result"]
