"""By which parameter a server takes a cap on the output, and which servers take none.

OpenAI's newer models know ``max_completion_tokens`` only, most compatible servers ``max_tokens``.
"""

from collections.abc import Mapping
from typing import Any

from aden.core.request import Request
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.parameters import is_given

MAX_REMEMBERED = 1000
_REFUSED: set[tuple[str, str | None, int | None, str, str]] = set()
"""(server, model, parameter)"""
OPENAI_HOSTS = ("openai.com", "azure.com")


def cap_name(endpoint: Endpoint, kwargs: Mapping[str, Any], request: Request) -> str | None:
    """The parameter that caps this request: its own, else one that the server takes."""
    for name in endpoint.caps:
        if is_given(kwargs.get(name)):
            return name
    host = request.server_address or ""
    newest_first = host.endswith(OPENAI_HOSTS) or request.hidden_output or request.effort
    names = endpoint.caps if newest_first else endpoint.caps[::-1]
    return next((name for name in names if _key(request, name) not in _REFUSED), None)


def refuses_cap(
    endpoint: Endpoint,
    request: Request,
    kwargs: Mapping[str, Any],
    sent: Mapping[str, Any],
    error: Exception,
) -> bool:
    """Whether *error* says that the server does not know the cap that we added; remembered."""
    if getattr(error, "status_code", None) not in (400, 422):
        return False
    text = str(error).lower()
    for name in endpoint.caps:
        added = name in sent and not is_given(kwargs.get(name))
        if added and name in text and any(word in text for word in _UNKNOWN):
            if len(_REFUSED) >= MAX_REMEMBERED:
                _REFUSED.clear()
            _REFUSED.add(_key(request, name))
            return True
    return False


_UNKNOWN = ("unsupported", "not supported", "unrecognized", "unknown", "extra", "not permitted")


def _key(request: Request, name: str) -> tuple[str, str | None, int | None, str, str]:
    return request.provider, request.server_address, request.server_port, request.model, name
