"""Who stands behind a host, by the provider names of the GenAI conventions.

Source: ``gen_ai.provider.name`` in
https://github.com/open-telemetry/semantic-conventions-genai. Names that it does not list are those
of the price tables, so that a model is priced by the host that serves it.
"""

import re

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
    "api.cometapi.com": "cometapi",
    "api.deepinfra.com": "deepinfra",
    "api.hyperbolic.xyz": "hyperbolic",
    "api.letta.com": "letta",
    "api.meta.ai": "meta",
    "api.minimax.io": "minimax",
    "api.minimaxi.com": "minimax",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.novita.ai": "novita",
    "api.sambanova.ai": "sambanova",
    "api.studio.nebius.com": "nebius",
    "api.telnyx.com": "telnyx",
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
    "octoai.run": "octoai",
    "openrouter.ai": "openrouter",
    "ollama.com": "ollama",
}
_REGIONAL = (
    (re.compile(r"bedrock[a-z-]*\.[a-z0-9-]+\.(amazonaws\.com|api\.aws)"), "aws.bedrock"),
    (re.compile(r"[a-z0-9-]+-aiplatform\.googleapis\.com"), "gcp.vertex_ai"),
    (re.compile(r"aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com"), "gcp.vertex_ai"),
)


def provider_at(host: str | None) -> str | None:
    """The provider's name, or None for a host that nobody knows."""
    name = (host or "").lower().rstrip(".")
    labels = name.split(".")
    for start in range(len(labels) - 1):
        if found := _HOSTS.get(".".join(labels[start:])):
            return found
    return next((found for pattern, found in _REGIONAL if pattern.fullmatch(name)), None)
