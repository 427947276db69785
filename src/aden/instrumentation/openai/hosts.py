"""Who stands behind a base URL, by the provider names of the GenAI conventions.

Source: ``gen_ai.provider.name`` in
https://github.com/open-telemetry/semantic-conventions-genai; names that it does not list are the
host's own.
"""

from typing import Any

_HOSTS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "models.inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "api.x.ai": "x_ai",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "livekit.cloud": "livekit",
    "openrouter.ai": "openrouter",
}


def provider_of(client: Any, host: str | None) -> str:
    """The provider's name; for a host that nobody knows, whose API the client speaks."""
    labels = (host or "").lower().split(".")
    for start in range(len(labels) - 1):
        if name := _HOSTS.get(".".join(labels[start:])):
            return name
    return "azure.ai.openai" if "Azure" in type(client).__name__ else "openai"


def address_of(client: Any) -> tuple[str | None, int | None]:
    """Host and port of a client's base URL; the port only where it is not the scheme's own."""
    url = getattr(client, "base_url", None)
    return getattr(url, "host", None), getattr(url, "port", None)
