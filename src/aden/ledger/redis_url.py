"""A Redis ledger's URL: what it may say, and what of it may be shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from aden.errors import ConfigurationError
from aden.ledger.journal import OPTIONS, Keep, read_keep

ALLOWED = f"redis[s]://[user:password@]host[:port][/db][?namespace=name&{OPTIONS}]"
ESCAPES = "/ ? # @ in a password are written %2F %3F %23 %40"
SCHEMES = ("redis", "rediss")
TLS_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "ssl_ca_certs": (),
    "ssl_ca_path": (),
    "ssl_cert_reqs": ("required", "none"),
    "ssl_certfile": (),
    "ssl_check_hostname": ("true", "false"),
    "ssl_keyfile": (),
}
"""The client's options for TLS with what they may be; nothing: a path."""
KEEP = Keep(calls=20_000)
"""About 20 MB of the server's memory."""

_NAMESPACE = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis ledger is."""

    client_url: str = field(repr=False)
    """What the client is given; holds the password."""
    shown: str
    """The same for people, without secrets."""
    namespace: str
    keep: Keep

    @property
    def base(self) -> str:
        """The key from which all others are derived; its braces keep them in one cluster slot."""
        return f"{{aden:{self.namespace}}}"


def is_redis(url: str) -> bool:
    """Whether *url* means to be a Redis ledger's."""
    return url.partition("://")[0] in SCHEMES


def shown(url: str) -> str:
    """*url* without user, password and the values of unknown options, however malformed."""
    place, _, query = re.sub(r"//.*@", "//***@", url, flags=re.DOTALL).partition("?")
    known = {"namespace", "journal", "journal_days", *TLS_OPTIONS}
    options = parse_qsl(query, keep_blank_values=True)
    kept = [(name, value if name in known else "***") for name, value in options]
    return f"{place}?{urlencode(kept, safe='*:/')}" if kept else place


def parse(url: str) -> Address:
    """Read *url*.

    Raises:
        ConfigurationError: It is malformed, or says what a ledger does not know.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong(url, f"a host and a port; {ESCAPES}") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not parts.hostname or port == 0 or parts.fragment:
        raise _wrong(url, f"a host and a port; {ESCAPES}")
    if not re.fullmatch(r"/?|/\d{1,5}", parts.path, re.ASCII):
        raise _wrong(url, "db is a number")
    namespace = options.pop("namespace", "main")
    if not _NAMESPACE.fullmatch(namespace):
        raise _wrong(url, "namespace is 1 to 64 letters, digits and _ . : -")
    keep = read_keep(options, KEEP, partial(_wrong, url))
    _check_tls(url, parts.scheme, options)
    place = parts._replace(query=urlencode(options)).geturl()
    return Address(place, shown(url), namespace, keep)


def _check_tls(url: str, scheme: str, options: dict[str, str]) -> None:
    unknown = sorted(set(options) - set(TLS_OPTIONS))
    if unknown:
        raise _wrong(url, f"the options namespace, journal, journal_days, {', '.join(TLS_OPTIONS)}")
    if options and scheme != "rediss":
        raise _wrong(url, f"rediss:// for {', '.join(options)}")
    for name, value in options.items():
        allowed = TLS_OPTIONS[name]
        if allowed and value not in allowed:
            raise _wrong(url, f"{name} is {' | '.join(allowed)}")
        if not allowed and not Path(value).exists():
            raise _wrong(url, f"{name} is the path of a file that can be read")


def _wrong(url: str, hint: str) -> ConfigurationError:
    return ConfigurationError("ledger", shown(url), f"{ALLOWED}: {hint}")
