"""Who stands behind a base URL decides the provider's name and the price."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from aden.core.request import Request
from aden.instrumentation.openai import chat
from aden.instrumentation.openai.hosts import server_of
from aden.pricing import PriceBook


def provider(client: Any) -> str:
    """The provider of a client, as the endpoints ask for it."""
    return server_of(client)[0]


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.together.xyz/v1", "together_ai"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.x.ai/v1", "x_ai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.fireworks.ai/inference/v1", "fireworks"),
        ("https://agent-gateway.livekit.cloud/v1", "livekit"),
        ("https://api.cometapi.com/v1/", "cometapi"),
        ("https://api.telnyx.com/v2/ai", "telnyx"),
        ("https://api.letta.com/v1/chat/completions", "letta"),
        ("https://text.octoai.run/v1", "octoai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gcp.gemini"),
        ("https://us-central1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://aiplatform.eu.rep.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "aws.bedrock"),
        ("https://mine.openai.azure.com/openai/v1/", "azure.ai.openai"),
        ("https://mine.services.ai.azure.com/models", "azure.ai.inference"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://localhost:8000/v1", "openai"),
        ("http://10.0.0.7/v1", "openai"),
        ("https://notapi.groq.com.example.org/v1", "openai"),
        ("https://evilapi.groq.com/v1", "openai"),
    ],
)
def test_a_base_url_names_its_provider(base_url: str, name: str) -> None:
    """By whole labels of the host; a host that nobody knows speaks OpenAI's API."""
    assert provider(openai.OpenAI(api_key="k", base_url=base_url)) == name


@pytest.mark.parametrize(
    "endpoint", ["https://mine.services.ai.azure.com", "https://gateway.example.org"]
)
def test_an_azure_client_is_azure_openai_wherever_it_goes(endpoint: str) -> None:
    """It speaks Azure OpenAI's API."""
    client = openai.AzureOpenAI(api_key="k", azure_endpoint=endpoint, api_version="2024-10-21")
    assert provider(client) == "azure.ai.openai"


def test_a_client_that_extends_azures_is_one() -> None:
    """Whatever a program calls it; and one of OpenAI's is none."""
    gateway: Any = type("Gateway", (openai.AsyncAzureOpenAI,), {})
    azurite: Any = type("AzureVoice", (openai.OpenAI,), {})
    endpoint = "https://gateway.example.org"
    client = gateway(api_key="k", azure_endpoint=endpoint, api_version="2024-10-21")
    assert provider(client) == "azure.ai.openai"
    assert provider(azurite(api_key="k", base_url=endpoint)) == "openai"


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
        ("https://api.deepseek.com", "deepseek-chat"),
        ("https://api.x.ai/v1", "grok-4"),
        ("https://openrouter.ai/api/v1", "openai/gpt-4o-mini"),
        ("https://mine.openai.azure.com/openai/v1/", "gpt-4o"),
        ("https://agent-gateway.livekit.cloud/v1", "openai/gpt-4o-mini"),
    ],
)
def test_a_model_is_priced_by_the_host_that_serves_it(base_url: str, model: str) -> None:
    """The name of the host is one that the price tables know."""
    client = openai.OpenAI(api_key="k", base_url=base_url)
    assert PriceBook().price(Request(provider(client), model), model).source != "floor"


@pytest.mark.parametrize(
    "base_url", ["https://api.cometapi.com/v1/", "https://api.telnyx.com/v2/ai"]
)
def test_a_reseller_is_not_priced_at_openais_rates(base_url: str) -> None:
    """It serves OpenAI's models at prices of its own, which no list here has."""
    client = openai.OpenAI(api_key="k", base_url=base_url)
    assert PriceBook().find(provider(client), "gpt-4o") is None


def test_the_port_is_told_where_it_is_not_the_schemes_own() -> None:
    """``server.address`` and ``server.port``."""
    local = openai.OpenAI(api_key="k", base_url="http://127.0.0.1:8123/v1")
    assert server_of(local) == ("openai", "127.0.0.1", 8123)
    assert server_of(openai.OpenAI(api_key="k")) == ("openai", "api.openai.com", None)


ROOT = "https://mine.openai.azure.com"
IN_ITS_URL = f"{ROOT}/openai/deployments/gpt-4o"
AZURE: dict[str, Any] = {"api_key": "k", "api_version": "2024-10-21"}
DEPLOYED = {
    "azure_deployment": openai.AzureOpenAI(azure_endpoint=ROOT, azure_deployment="gpt-4o", **AZURE),
    "base_url": openai.AzureOpenAI(base_url=IN_ITS_URL, **AZURE),
    "another client": openai.AsyncOpenAI(base_url=IN_ITS_URL, api_key="k"),
}


@pytest.mark.parametrize("client", DEPLOYED.values(), ids=DEPLOYED)
def test_a_deployment_in_the_url_answers_whatever_model_is_named(client: Any) -> None:
    """No cheaper one can be sent there, and none need be named: LangChain names none."""
    for asked, model in (("gpt-4.1", "gpt-4.1"), ("", "gpt-4o"), (None, "gpt-4o")):
        kwargs: dict[str, Any] = {"model": asked, "messages": []}
        request = chat.describe(kwargs, client)
        assert (request.model, request.pinned) == (model, True)
        assert chat.rewrite(kwargs, request.model, False) == (kwargs, False)


def test_a_deployment_that_the_model_names_can_be_exchanged() -> None:
    """The SDK puts it into the URL of each request."""
    client = openai.AzureOpenAI(azure_endpoint=ROOT, **AZURE)
    assert not chat.describe({"model": "gpt-4o", "messages": []}, client).pinned
