"""Who stands behind a host, by the provider names of the GenAI conventions.

Source: ``gen_ai.provider.name`` in
https://github.com/open-telemetry/semantic-conventions-genai; names that it does not list are the
host's own.
"""

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


def provider_at(host: str | None) -> str | None:
    """The provider's name, or None for a host that nobody knows."""
    labels = (host or "").lower().split(".")
    for start in range(len(labels) - 1):
        if name := _HOSTS.get(".".join(labels[start:])):
            return name
    return None
