"""Time zones by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caraway.exceptions import nearest

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


def zone_named(name: str) -> ZoneInfo:
    """Return the zone of an IANA name, such as ``"Europe/Paris"``.

    Raises
    ------
    ValueError
        If there is none; the message says the nearest, or that none are installed.
    """
    import zoneinfo  # here: a producer needs none

    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        zones = zoneinfo.available_timezones()
        if not zones:
            raise ValueError("no time zones are installed: add the package tzdata") from None
        raise ValueError(f"no such zone{nearest(name, zones)}") from None
