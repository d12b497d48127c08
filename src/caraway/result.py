"""The results of tasks and of groups of tasks, seen from the caller's side."""

from caraway.async_result import AsyncResult
from caraway.derived_results import DerivedResults
from caraway.eager_result import EagerResult
from caraway.group_result import GroupResult, result_from_tuple
from caraway.joining import allow_join_result
from caraway.result_base import ResultBase
from caraway.result_sets import ResultSet

__all__ = [
    "AsyncResult",
    "DerivedResults",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "result_from_tuple",
]
