"""Under which names the price of a model may stand: exact, then dated, then with its provider.

Never by a part of a name: ``gpt-4oxyz`` is not ``gpt-4o``.
"""

import re
from collections.abc import Container, Iterator
from datetime import date
from typing import NamedTuple

_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "together_ai": "together",
    "togetherai": "together",
}
"""Names by the OpenTelemetry conventions, and usual prefixes, as genai-prices calls them."""

_DATED = re.compile(r"(?P<name>.+)[-@](?P<y>20\d\d)-?(?P<m>\d\d)-?(?P<d>\d\d)")
_GOOGLE_VERSION = re.compile(r"(?P<name>.+)-\d{3}")
_BEDROCK_VERSION = re.compile(r"(?P<name>.+)-v\d+(:\d+)?")
_BEDROCK_REGION = re.compile(r"(us|eu|apac|jp|au|in|us-gov|global)\.(?P<name>.+)")


class Spelling(NamedTuple):
    """One name under which to look."""

    provider: str
    model: str
    matched: str


def provider_id(provider: str) -> str:
    """A provider's name in lower case, as genai-prices calls it."""
    name = provider.strip().lower()
    return _PROVIDERS.get(name, name)


def spellings(provider: str, model: str, providers: Container[str]) -> Iterator[Spelling]:
    """The names to try, in order.

    Args:
        provider: As `provider_id` gives it.
        model: As the caller asked for it.
        providers: Those that may stand before a slash.
    """
    model = model.lower()
    if model.startswith("ft:"):
        yield from _fine_tunes(provider, model)
        return
    yield Spelling(provider, model, "exact")
    for name in _undated(provider, model):
        yield Spelling(provider, name, "dated snapshot")
    first, slash, rest = model.partition("/")
    if slash and rest and (vendor := _vendor(provider, first, providers)):
        for each in spellings(vendor, rest, providers):
            yield each._replace(matched="provider prefix")
    if provider == "aws" and not model.startswith("regional."):
        region = _BEDROCK_REGION.fullmatch(model)
        name = region["name"] if region else model
        for other in (name, f"regional.{name}"):
            if other != model:
                for each in spellings(provider, other, providers):
                    yield each._replace(matched="region prefix")


def _vendor(provider: str, prefix: str, providers: Container[str]) -> str | None:
    if prefix == "models" and provider == "google":
        return provider
    vendor = provider_id(prefix)
    return vendor if vendor in providers else None


def _fine_tunes(provider: str, model: str) -> Iterator[Spelling]:
    """``ft:gpt-4o-mini-2024-07-18:org:name:id`` is priced as ``ft:gpt-4o-mini``, if known."""
    yield Spelling(provider, model, "exact")
    base = model.split(":")[1]
    for name in (base, *_undated(provider, base)):
        if name:
            yield Spelling(provider, f"ft:{name}", "fine-tune")


def _undated(provider: str, model: str) -> Iterator[str]:
    """The name without the date, or version, of its snapshot."""
    if model.endswith("-latest"):
        yield model.removesuffix("-latest")
    if (dated := _DATED.fullmatch(model)) and _is_date(dated):
        yield dated["name"]
    if provider == "google" and (version := _GOOGLE_VERSION.fullmatch(model)):
        yield version["name"]
    if provider == "aws" and (version := _BEDROCK_VERSION.fullmatch(model)):
        yield version["name"]


def _is_date(dated: re.Match[str]) -> bool:
    try:
        date(int(dated["y"]), int(dated["m"]), int(dated["d"]))
    except ValueError:
        return False
    return True
