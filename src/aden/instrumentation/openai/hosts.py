"""Whose API a client speaks, and where.

Hosts are known by name in `aden.core.providers`; here is what the client itself adds.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

from aden.core.providers import provider_at
from aden.instrumentation.openai.parameters import text

OLLAMA_PORT = 11434
"""No other server has this one by default; vLLM's and LM Studio's are anybody's."""


@functools.lru_cache(maxsize=1024)
def provider_of(azure: bool, host: str | None, port: int | None) -> str:
    """The provider's name; for a host that nobody knows, whose API the client speaks.

    The conventions leave it at that: a provider behind a compatible server is told as far as the
    instrumentation knows.

    Args:
        azure: Whether the client is one for Azure OpenAI, by its class or one that it extends.
        host: Of its base URL.
        port: Of its base URL; None where it is the scheme's own.
    """
    if name := provider_at(host):
        return "azure.ai.openai" if azure and name.startswith("azure.") else name
    if azure:
        return "azure.ai.openai"
    return "ollama" if port == OLLAMA_PORT else "openai"


def server_of(client: Any) -> tuple[str, str | None, int | None]:
    """Provider, host and port behind a client; the port only where it is not the scheme's own."""
    url = _url_of(client)
    host, port = getattr(url, "host", None), getattr(url, "port", None)
    azure = hasattr(client, "_azure_deployment")
    return provider_of(azure, host, port), host, port


def model_of(asked: Mapping[str, Any], client: Any) -> tuple[str, bool]:
    """The model, and whether no other can be sent in its place; none need be named to Azure."""
    model, deployment = text(asked.get("model")), deployment_of(client)
    return model or deployment or "", deployment is not None or model is None


def deployment_of(client: Any) -> str | None:
    """The Azure deployment that a client's URL names, which answers whatever model is asked.

    It stands there by the client's ``azure_deployment=`` or in its ``base_url=``.
    """
    path = getattr(_url_of(client), "path", None)
    found = _DEPLOYMENT.search(path) if isinstance(path, str) else None
    return found[1] if found else None


_DEPLOYMENT = re.compile(r"/deployments/([^/]+)")


def _url_of(client: Any) -> Any:
    # Asked for it by its public name, an OpenAI client imports something first.
    return getattr(client, "_base_url", None) or getattr(client, "base_url", None)
