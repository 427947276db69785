"""Whose API a client speaks, and where.

Hosts are known by name in `aden.core.providers`; here is what the client itself adds.
"""

import functools
from typing import Any

from aden.core.providers import provider_at

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
    # Asked for it by its public name, an OpenAI client imports something first.
    url = getattr(client, "_base_url", None) or getattr(client, "base_url", None)
    host, port = getattr(url, "host", None), getattr(url, "port", None)
    azure = hasattr(client, "_azure_deployment")
    return provider_of(azure, host, port), host, port
