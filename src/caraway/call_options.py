"""The options of a call as the app prepares them: with its time zone, and as JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from caraway.core.codec import encode
from caraway.core.options import check_values
from caraway.core.serializers import other_than_json
from caraway.core.stamps import STAMPS
from caraway.exceptions import ImproperlyConfigured, InvalidOption, UnknownOption, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caraway.base import AppBase
    from caraway.core.serializers import Serializer
    from caraway.requests.base import Json

_POLICY: Final = ("max_retries", "interval_start", "interval_step", "interval_max")


@runtime_checkable
class Describable(Protocol):
    """A signature of any kind."""

    def to_dict(self) -> dict[str, Json]:
        """Return it as JSON data."""
        ...


def serializer_of(app: AppBase, options: Mapping[str, Any]) -> Serializer | None:
    """Return what writes the arguments of a call with these options; None for JSON.

    Raises
    ------
    InvalidOption
        If there is no such serializer, or its package is not installed.
    """
    name = options.get("serializer")
    if name is None:
        return app.site.contents.serializer
    if not isinstance(name, str):
        raise InvalidOption(f"serializer={name!r:.80}: expected a serializer's name")
    try:
        return other_than_json(name)
    except ImproperlyConfigured as error:
        raise InvalidOption(f"serializer={name!r}: {error}") from error


def in_zone_of(app: AppBase, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options whose naive times are meant in the app's time zone."""
    return {
        name: value.replace(tzinfo=app.timezone)
        if isinstance(value, datetime) and value.tzinfo is None
        else value
        for name, value in options.items()
    }


def options_to_json(options: Mapping[str, Any]) -> dict[str, Json]:
    """Return the options of a call as JSON data: links as signatures, times as text.

    Raises
    ------
    InvalidOption
        If a link option holds something else than signatures.
    """
    return {
        name: _option_to_json(name, value) for name, value in options.items() if value is not None
    }


def _option_to_json(name: str, value: Any) -> Json:
    if name in ("link", "link_error"):
        several = value if isinstance(value, list | tuple) else [value]
        return [_signature_to_json(each, name) for each in several]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if name == STAMPS:
        check_values({name: value})  # while its names are what was given
    return encode(value, path=name) if name in ("headers", STAMPS) else value


def _signature_to_json(value: Any, what: str) -> Json:
    if isinstance(value, dict) and "task" in value:
        return value
    if isinstance(value, Describable):
        return value.to_dict()
    raise InvalidOption(f"{what}={value!r}: expected a signature, such as task.s(...)")


def call_options(app: AppBase, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call, with links as JSON and naive times in the app's zone."""
    prepared = in_zone_of(app, options)
    for name in ("link", "link_error", "headers", "stamps"):
        if prepared.get(name) is not None:
            prepared[name] = options_to_json({name: prepared[name]})[name]
    return prepared


def publish_policy(app: AppBase, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how often a send is asked again, by the call's options and the app's settings.

    Raises
    ------
    UnknownOption, InvalidOption
        If a ``retry_policy`` names what there is not, or holds no numbers.
    """
    policy: Mapping[str, Any] = options.get("retry_policy") or app.conf.task_publish_retry_policy
    for name, value in policy.items():
        if name not in _POLICY:
            raise UnknownOption(f"retry_policy: no {name!r}{nearest(name, _POLICY)}")
        endless = name == "max_retries" and value is None
        if not endless and (not isinstance(value, int | float) or value < 0):
            raise InvalidOption(f"retry_policy: {name}={value!r}: expected a number from 0")
    wanted = options.get("retry", app.conf.task_publish_retry)
    return policy if wanted else {"max_retries": 0}


def retry_options(app: AppBase, options: Mapping[str, Any]) -> dict[str, Json]:
    """Return the options of a retry as changes of its message."""
    changes = options_to_json(call_options(app, options))
    if isinstance(changes.get("expires"), int | float):
        changes["expires"] = (app.aws.now() + timedelta(seconds=changes["expires"])).isoformat()
    return changes
