"""What the environment and code say, without secrets."""

import os
import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from aden.doctor.finding import Finding
from aden.doctor.subject import Subject
from aden.errors import did_you_mean
from aden.options import OPTION_NAMES
from aden.settings import VARIABLES

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|HEADERS|CREDENTIAL", re.IGNORECASE)
_SHOWN_WHOLE = ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",)


def configuration(subject: Subject) -> Iterable[Finding]:
    """Each variable of ours and of OpenTelemetry's that is set."""
    for name in sorted(os.environ):
        if name.startswith("ADEN_") and name not in VARIABLES:
            hint = did_you_mean(name, VARIABLES)
            yield Finding("configuration", name, f"not known to Aden{hint}", "warning")
        elif name.startswith(("ADEN_", "OTEL_")):
            value = masked(name, os.environ[name])
            yield Finding("configuration", name, value, facts={"value": value})
    options = subject.options
    given = [name for name in OPTION_NAMES if getattr(options, name) not in (None, False)]
    if given:
        yield Finding("configuration", "given in code", ", ".join(given), facts={"options": given})


def masked(name: str, value: str) -> str:
    """*value* as it may be shown: without keys, passwords and what URLs carry of them."""
    if name not in _SHOWN_WHOLE and _SECRET.search(name):
        return "***"
    if "://" not in value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        return "***"
    secret = _SECRET.search(parts.query)
    if not secret and "@" not in parts.netloc:
        return value
    host = parts.netloc.rpartition("@")[2]
    netloc = f"***@{host}" if host != parts.netloc else host
    query = re.sub(r"=[^&]*", "=***", parts.query) if secret else parts.query
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))
