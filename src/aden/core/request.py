"""What is asked of a provider, as far as deciding, pricing and showing need it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Request:
    """One request, described before it leaves."""

    provider: str
    """Provider name by the OpenTelemetry GenAI conventions, such as ``openai``."""
    model: str
    """The model that the caller asked for; empty where none was named."""
    operation: str = "chat"
    stream: bool = False
    input_chars: int = 0
    """Characters (UTF-8 bytes) of everything that the model reads: messages, tools, schema."""
    input_extra_tokens: int = 0
    """Tokens that characters do not show: framing a message, images, audio."""
    max_output_tokens: int | None = None
    """The request's own cap on the output of one choice; None where it sets none."""
    pinned: bool = False
    """True where the client's URL, not the request, names the model: it cannot be degraded."""
    effort: bool = False
    """True where the request sets a reasoning effort, which only reasoning models take."""
    choices: int = 1
    hidden_output: bool = False
    """True where the model reasons in tokens that are billed and never seen."""
    unlisted: bool = False
    """True where nobody knows what the endpoint bills: whatever its model costs elsewhere, its
    price is unknown until the answer tells a usage."""
    service_tier: str | None = None
    """The service tier that the request asks for, which may have rates of its own."""
    previous_response_id: str | None = None
    """The response that this request continues; the provider puts it in front of the input."""
    conversation_id: str | None = None
    """The conversation, kept by the provider, that this request is a part of."""
    unseen_input: bool = False
    """True where the model reads more than what is sent: such a continuation, a stored prompt."""
    server_address: str | None = None
    server_port: int | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    """The request's own metadata, which may carry attribution."""
    span_attributes: Mapping[str, Scalar | tuple[str, ...]] = field(default_factory=dict)
    """Request parameters by their ``gen_ai.request.*`` names."""

    def to(self, model: str) -> "Request":
        """The same request to another model."""
        return self if model == self.model else replace(self, model=model)


_REASONS = re.compile(r"^(.*/)?(o\d|gpt-[5-9](?!.*chat))")


def reasons(model: str) -> bool:
    """Whether a model thinks in tokens that are billed and never seen.

    By OpenAI's names (https://platform.openai.com/docs/guides/reasoning).
    """
    return _REASONS.match(model) is not None
