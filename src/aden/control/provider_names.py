"""Provider names: an Aden server's beside those of the OpenTelemetry conventions."""

from collections.abc import Mapping

_PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "gemini": ("gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"),
    "google": ("gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"),
    "azure": ("azure.ai.openai", "azure.ai.inference"),
    "bedrock": ("aws.bedrock",),
    "mistral": ("mistral_ai",),
}
"""A server's names, where the conventions have others."""
_SERVERS: Mapping[str, str] = {
    ours: name for name, all_ours in reversed([*_PROVIDERS.items()]) for ours in all_ours
}
"""The other way round; of two names the first."""


def our_names(name: str | None) -> tuple[str, ...]:
    """A server's name of a provider as the requests here have it; none for none."""
    return _PROVIDERS.get(name, (name,)) if name else ()


def server_name(provider: str) -> str:
    """A provider of the conventions as a server knows it."""
    return _SERVERS.get(provider, provider)
