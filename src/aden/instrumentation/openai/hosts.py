"""Whom an SDK client asks."""

from typing import Any

from aden.core.providers import provider_at


def provider_of(client: Any, host: str | None) -> str:
    """The provider's name; for a host that nobody knows, whose API the client speaks."""
    if name := provider_at(host):
        return name
    return "azure.ai.openai" if "Azure" in type(client).__name__ else "openai"


def address_of(client: Any) -> tuple[str | None, int | None]:
    """Host and port of a client's base URL; the port only where it is not the scheme's own."""
    url = getattr(client, "base_url", None)
    return getattr(url, "host", None), getattr(url, "port", None)
