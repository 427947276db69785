"""How a person names a moment: ``24h``, ``7d``, ``2026-11-01``, ``2026-11-01T09:30``."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from aden.errors import ConfigurationError

_AGO = re.compile(r"(\d{1,6})(m|h|d)")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


def moment(text: str, setting: str, now: float, zone: ZoneInfo) -> float:
    """Unix seconds of a moment that a person typed.

    Raises:
        ConfigurationError: It is neither a length of time before *now* nor a date.
    """
    try:
        if ago := _AGO.fullmatch(text):
            at = now - int(ago[1]) * _SECONDS[ago[2]]
        else:
            then = datetime.fromisoformat(text)
            at = (then if then.tzinfo else then.replace(tzinfo=zone)).timestamp()
        datetime.fromtimestamp(at, zone)  # a moment before the year 1 has no date
        return at
    except (ValueError, OverflowError, OSError):
        allowed = "a length of time ago such as 30m, 24h or 7d, or a date such as 2026-11-01"
        raise ConfigurationError(setting, text, allowed) from None


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        ConfigurationError: There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        allowed = "an IANA time zone such as Europe/Berlin"
        raise ConfigurationError("--timezone", name, allowed) from None
