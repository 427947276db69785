"""Who stands behind a base URL, by the provider names of the GenAI conventions.

Source: ``gen_ai.provider.name`` in
https://github.com/open-telemetry/semantic-conventions-genai. Names that it does not list are those
of the price tables, so that a model is priced by the host that serves it.
"""

import functools
import re
from typing import Any

_HOSTS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "openai.azure.us": "azure.ai.openai",
    "openai.azure.cn": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "azure-api.net": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.baseten.co": "baseten",
    "inference.baseten.co": "baseten",
    "api.deepinfra.com": "deepinfra",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.meta.ai": "meta",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.novita.ai": "novita",
    "api.sambanova.ai": "sambanova",
    "api.studio.nebius.com": "nebius",
    "api.z.ai": "zai",
    "open.bigmodel.cn": "zhipuai",
    "integrate.api.nvidia.com": "nvidia",
    "models.github.ai": "github",
    "api.githubcopilot.com": "github-copilot",
    "router.huggingface.co": "huggingface",
    "oai.endpoints.kepler.ai.cloud.ovh.net": "ovhcloud",
    "cloud.databricks.com": "databricks",
    "azuredatabricks.net": "databricks",
    "livekit.cloud": "livekit",
    "openrouter.ai": "openrouter",
    "ollama.com": "ollama",
}
_REGIONAL = (
    (re.compile(r"bedrock[a-z-]*\.[a-z0-9-]+\.(amazonaws\.com|api\.aws)"), "aws.bedrock"),
    (re.compile(r"[a-z0-9-]+-aiplatform\.googleapis\.com"), "gcp.vertex_ai"),
)
OLLAMA_PORT = 11434
"""No other server has this one by default; vLLM's and LM Studio's are anybody's."""


def provider_of(client: Any, host: str | None) -> str:
    """The provider's name; for a host that nobody knows, whose API the client speaks.

    The conventions leave it at that: a provider behind a compatible server is told as far as the
    instrumentation knows.
    """
    port = getattr(getattr(client, "base_url", None), "port", None)
    return _provider(type(client).__name__, host, port)


@functools.lru_cache(maxsize=1024)
def _provider(client: str, host: str | None, port: int | None) -> str:
    azure = "Azure" in client
    if name := _by_host((host or "").lower().rstrip(".")):
        return "azure.ai.openai" if azure and name.startswith("azure.") else name
    if azure:
        return "azure.ai.openai"
    return "ollama" if port == OLLAMA_PORT else "openai"


def _by_host(host: str) -> str | None:
    labels = host.split(".")
    for start in range(len(labels) - 1):
        if name := _HOSTS.get(".".join(labels[start:])):
            return name
    return next((name for pattern, name in _REGIONAL if pattern.fullmatch(host)), None)


def server_of(client: Any) -> tuple[str, str | None, int | None]:
    """Provider, host and port behind a client; the port only where it is not the scheme's own."""
    # Asked for it by its public name, an OpenAI client imports something first.
    url = getattr(client, "_base_url", None) or getattr(client, "base_url", None)
    host, port = getattr(url, "host", None), getattr(url, "port", None)
    return _provider(type(client).__name__, host, port), host, port
