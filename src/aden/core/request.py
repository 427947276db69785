"""What is asked of a provider, as far as deciding, pricing and showing need it."""

import re
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal

from aden.core.usage import NO_USAGE, Usage
from aden.core.value import value

Task = Literal["text", "embedding", "image", "speech", "transcript"]
"""What a request wants made; a model makes one of them."""
Scalar = str | int | float | bool
Component = Literal["llm", "stt", "tts", "realtime", "embedding", "image"]
"""Which part of a voice agent asks: what thinks, what hears, what speaks, or all in one."""
COMPONENTS: Mapping[Task, Component] = {
    "text": "llm",
    "embedding": "embedding",
    "image": "image",
    "speech": "tts",
    "transcript": "stt",
}
"""What asks for each task, where the lane does not say otherwise."""


@value
class Request:
    """One request, described before it leaves."""

    provider: str
    """Provider name by the OpenTelemetry GenAI conventions, such as ``openai``."""
    model: str
    """The model that the caller asked for; empty where none was named."""
    operation: str = "chat"
    task: Task = "text"
    stream: bool = False
    input_chars: int = 0
    """Characters (UTF-8 bytes) of everything that the model reads: messages, tools, schema."""
    input_extra_tokens: int = 0
    """Tokens that characters do not show: framing a message, images, audio."""
    max_output_tokens: int | None = None
    """The request's own cap on the output of one choice; None where it sets none. 0 where the
    endpoint makes no output that is counted."""
    likely_output_tokens: int | None = None
    """Output of one choice, where the request shows it better than its model's other answers:
    a text to be spoken, an image's size."""
    carries: Usage = NO_USAGE
    """What the request itself shows of its usage: characters to be spoken, images, seconds of an
    uploaded file, and which of its tokens are audio or image; ``estimated`` where that is a
    guess."""
    pinned: bool = False
    """True where the client's URL, not the request, names the model: it cannot be degraded."""
    effort: bool = False
    """True where the request sets a reasoning effort, which only reasoning models take."""
    media: bool = False
    """True where it shows images or sound, which not every model takes."""
    sound: bool = False
    """True where it plays sound to the model or asks it to speak, which few chat models do."""
    schema: bool = False
    """True where the answer is to keep to a JSON schema, which not every model does."""
    preview_search: bool = False
    """True where it searches the web by the tool in preview, which has a price of its own."""
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
    is_kept: bool = False
    """True where the provider keeps it and its answer, so that another request can continue it."""
    unseen_input: bool = False
    """True where the model reads more than what is sent: such a continuation, a stored prompt."""
    most_text_tokens: int | None = None
    """Most tokens that its input can be, images apart; None where its size does not bound them."""
    images: int = 0
    speech: bool = False
    """True where it sends audio or asks for some: a reservation then takes what bytes do not show
    for heard, and the answer for spoken."""
    boundless: str | None = None
    """What in it costs without an end that the request sets, such as ``web_search_options``."""
    takes_cap: bool = False
    """True where a cap on its output can be written into it."""
    can_be_ended: bool = False
    """True where it is a stream that can be ended before the provider ends it."""
    server_address: str | None = None
    server_port: int | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    """The request's own metadata, which may carry attribution."""
    span_attributes: Mapping[str, Scalar | tuple[str, ...]] = field(default_factory=dict)
    """Request parameters by their ``gen_ai.request.*`` names."""

    def to(self, model: str) -> "Request":
        """The same request to another model."""
        if model == self.model:
            return self
        hidden = self.hidden_output
        # Of sound and images nothing shows, whichever model makes them; an effort may be none.
        if self.task == "text" and (hidden or not self.effort):
            hidden = reasons(model) or self.effort
        return replace(self, model=model, hidden_output=hidden)


_TASKS: tuple[tuple[Task, re.Pattern[str]], ...] = (
    ("embedding", re.compile("embed")),
    ("image", re.compile("image|dall-e")),
    ("speech", re.compile(r"(^|[-/])tts")),
    ("transcript", re.compile("whisper|transcri")),
)


def task_of(model: str) -> Task:
    """What a model makes, by its name."""
    return next((task for task, name in _TASKS if name.search(model)), "text")


_REASONS = re.compile(r"^(.*/)?(o\d|gpt-[5-9](?!.*chat))")


def hides_output(model: str, effort: object) -> bool:
    """Whether a request to *model* makes it think; *effort*: what it says of that, None: nothing.

    At "none" there are no tokens of reasoning (https://platform.openai.com/docs/guides/reasoning).
    """
    return effort != "none" and (reasons(model) or bool(effort))


def reasons(model: str) -> bool:
    """Whether a model thinks in tokens that are billed and never seen.

    By OpenAI's names (https://platform.openai.com/docs/guides/reasoning).
    """
    return _REASONS.match(model) is not None
