"""What is installed, and how its requests are treated."""

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version

from aden.doctor.finding import Finding, Level
from aden.doctor.subject import Subject
from aden.instrumentation.openai.surface import Method, endpoints_of_installed_sdk

GATED = ("openai", "livekit-agents")
LIVEKIT_TESTED = "1."
FREEZES_BEFORE = (3, 12)
"""An older Python may stop for ever in ``sys._current_frames``, which LiveKit's watchdog asks about
a blocked loop: where the garbage collector runs in it and another thread asks as well meanwhile
(https://github.com/python/cpython/issues/106883)."""
OTHERS: Mapping[str, str] = {
    "anthropic": "Anthropic",
    "google-genai": "Google GenAI",
    "google-cloud-aiplatform": "Vertex AI",
    "mistralai": "Mistral",
    "cohere": "Cohere",
    "groq": "Groq",
    "together": "Together",
    "boto3": "Amazon Bedrock",
    "ollama": "Ollama",
}
"""Distributions of providers' own SDKs that Aden does not wrap."""


def coverage(_subject: Subject) -> Iterable[Finding]:
    """Versions, the openai SDK's endpoints, and SDKs that are not gated."""
    for name in GATED:
        yield _gated(name, installed(name))
    if "openai" in sys.modules and importlib.util.find_spec("openai") is not None:
        yield _endpoints(endpoints_of_installed_sdk())
    beside = {name: found for name in OTHERS if (found := installed(name))}
    if beside:
        which = ", ".join(f"{name} {found}" for name, found in beside.items())
        said = f"{which}: not gated outside LiveKit; metered where an instrumentation shows spans"
        yield Finding("coverage", "other SDKs", said, "warning", {"installed": beside})


def _gated(name: str, found: str | None) -> Finding:
    level: Level = "ok"
    said = f"{found}, gated" if found else "not installed"
    if found and name == "livekit-agents" and not found.startswith(LIVEKIT_TESTED):
        said += f" as far as its names are those of {LIVEKIT_TESTED}x, with which Aden is tested"
        level = "warning"
    if found and name == "livekit-agents" and sys.version_info < FREEZES_BEFORE:
        said += "; with many jobs in threads Python 3.11 itself may freeze, 3.12 does not"
    return Finding("coverage", name, said, level, {"version": found})


def _endpoints(methods: Iterable[Method]) -> Finding:
    by_treatment: dict[str, list[str]] = {}
    unlisted = []
    for method in methods:
        by_treatment.setdefault(method.treatment, []).append(method.name)
        if not method.listed:
            unlisted.append(method.name)
    counts = {treatment: len(names) for treatment, names in by_treatment.items()}
    said = ", ".join(f"{count} {treatment}" for treatment, count in sorted(counts.items()))
    open_ones = by_treatment.get("not gated", [])
    level: Level = "ok"
    if open_ones:
        said += f"; not gated: {', '.join(open_ones)}"
    if unlisted:
        said += f"; unknown to this version, so of unknown price: {', '.join(unlisted)}"
        level = "warning"
    facts = {"count": counts, "backstopped": by_treatment.get("backstopped", [])}
    return Finding(
        "coverage",
        "endpoints",
        said,
        level,
        {**facts, "not_gated": open_ones, "unlisted": unlisted},
    )


def installed(name: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
