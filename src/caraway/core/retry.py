"""When a failed attempt is tried again."""

from __future__ import annotations

from dataclasses import field
from math import inf
from typing import TYPE_CHECKING, Any

from caraway.exceptions import ImproperlyConfigured
from caraway.lean import dataclass

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping


@dataclass(frozen=True)
class RetryPolicy:
    """A task's retry options, with Celery's names and defaults.

    Raises
    ------
    ImproperlyConfigured
        If a value is of a wrong type; the message names the option.

    Attributes
    ----------
    max_retries
        Retries after the first attempt; None means without end.
    default_retry_delay_s
        Seconds before a retry that names no delay of its own.
    autoretry_for, dont_autoretry_for
        Exception types that do, or do not, lead to a retry by themselves.
    retry_backoff
        False for the default delay; True or a factor in seconds for ``factor * 2 ** retries``.
    retry_backoff_max_s
        Upper bound of the back-off, in seconds.
    retry_jitter
        Whether the back-off is drawn evenly between 0 and its value.
    retry_kwargs
        What ``self.retry`` is given by an automatic retry, such as ``{"max_retries": 5}``.
    """

    max_retries: int | None = 3
    default_retry_delay_s: float = 180
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_backoff: bool | int = False
    retry_backoff_max_s: float = 600
    retry_jitter: bool = True
    retry_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("autoretry_for", "dont_autoretry_for"):
            types = getattr(self, name)
            if not isinstance(types, tuple | list):
                raise ImproperlyConfigured(f"{name}={types!r}: expected a tuple of exception types")
            for each in types:
                if not (isinstance(each, type) and issubclass(each, BaseException)):
                    raise ImproperlyConfigured(f"{name}: {each!r} is not an exception type")
            object.__setattr__(self, name, tuple(types))
        unknown = set(self.retry_kwargs) - {"max_retries", "countdown"}
        if unknown:
            raise ImproperlyConfigured(
                f"retry_kwargs: {sorted(unknown)}: takes 'max_retries' and 'countdown'"
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        kwargs = self.retry_kwargs
        for name, count in (
            ("max_retries", self.max_retries),
            ("retry_kwargs: max_retries", kwargs.get("max_retries")),
        ):
            if count is not None and not (_is_number(count) and isinstance(count, int)):
                raise ImproperlyConfigured(f"{name}={count!r}: expected a whole number or None")
        for name, seconds in (
            ("default_retry_delay", self.default_retry_delay_s),
            ("retry_backoff", self.retry_backoff or 0),
            ("retry_backoff_max", self.retry_backoff_max_s),
            ("retry_kwargs: countdown", kwargs.get("countdown", 0)),
        ):
            if seconds is not True and not _is_number(seconds):
                raise ImproperlyConfigured(f"{name}={seconds!r}: expected seconds, from 0")

    @property
    def automatic_max_retries(self) -> int | None:
        """The limit that automatic retries keep to."""
        limit: int | None = self.retry_kwargs.get("max_retries", self.max_retries)
        return limit

    def retries_by_itself(self, error: BaseException) -> bool:
        """Say whether an exception leads to an automatic retry."""
        return isinstance(error, self.autoretry_for) and not isinstance(
            error, self.dont_autoretry_for
        )

    def leads_to_retry(self, error: BaseException, retries: int) -> bool:
        """Say whether an exception leads to another attempt, after so many retries."""
        return self.retries_by_itself(error) and not exhausted(retries, self.automatic_max_retries)

    def automatic_delay_s(self, retries: int, rng: random.Random) -> float:
        """Return the seconds before the next automatic retry.

        Parameters
        ----------
        retries
            Retries already made, 0 after the first attempt.
        rng
            Where the jitter comes from.

        Returns
        -------
        float
            0 <= delay <= ``retry_backoff_max_s`` with a back-off.
        """
        if self.retry_backoff:
            factor = max(1, int(self.retry_backoff))
            # The exponent is bounded so that a long retry history cannot build a huge integer.
            delay = min(self.retry_backoff_max_s, factor * 2 ** min(retries, 64))
            return rng.uniform(0, delay) if self.retry_jitter else delay
        return float(self.retry_kwargs.get("countdown", self.default_retry_delay_s))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def exhausted(retries: int, max_retries: int | None) -> bool:
    """Say whether no retry is left."""
    return max_retries is not None and retries >= max_retries
