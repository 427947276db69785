"""What the local OpenAI-compatible server counts and charges: its tokens, prices and bill.

Rule 1: nothing here may import the package's own pricing or counting. The bill is the second
opinion that the ledger is held against, so the two may agree only because both are right.

Rule 2: money is integer nano-US-dollars, and an unknown price is None, never zero.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import cycle, islice
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOKENS_PER_MESSAGE = 4
"""Tokens that frame one message."""

TOKENS_PER_REQUEST = 3
"""Tokens that prime the reply, once per request."""

TOKENS_PER_ATTACHMENT = 85
"""Tokens of one content part that is not text (an image, a sound), whatever its size."""

# A word with its leading space, six letters a piece | one punctuation mark | other white space.
_TOKEN = re.compile(r" ?\w{1,6}| ?[^\w\s]|\s+")
_SNAPSHOT_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Rates(NamedTuple):
    """Prices of one model in nano-US-dollars per token (= thousandths of USD per million)."""

    input: int
    cached: int
    output: int
    audio_input: int = 0
    cached_audio: int = 0
    audio_output: int = 0


# By hand from https://developers.openai.com/api/docs/pricing, standard tier, November 2026
# (USD per million tokens: input / cached input / output).
RATES: Mapping[str, Rates] = {
    "gpt-4.1": Rates(2_000, 500, 8_000),  # 2.00 / 0.50 / 8.00
    "gpt-4.1-mini": Rates(400, 100, 1_600),  # 0.40 / 0.10 / 1.60
    "gpt-4o": Rates(2_500, 1_250, 10_000),  # 2.50 / 1.25 / 10.00
    "gpt-4o-mini": Rates(150, 75, 600),  # 0.15 / 0.075 / 0.60
    # Audio: 32.00 / 0.40 / 64.00
    "gpt-realtime": Rates(4_000, 400, 16_000, 32_000, 400, 64_000),  # 4.00 / 0.40 / 16.00
    "o1": Rates(15_000, 7_500, 60_000),  # 15.00 / 7.50 / 60.00
    "gpt-3.5-turbo-instruct": Rates(1_500, 1_500, 2_000),  # 1.50 / - / 2.00
    "text-embedding-3-small": Rates(20, 20, 0),  # 0.02 / - / -
    "gpt-4o-mini-tts": Rates(600, 600, 12_000),  # 0.60 / - / 12.00
    "gpt-4o-mini-transcribe": Rates(1_250, 1_250, 5_000),  # 1.25 / - / 5.00
    "gpt-image-1-mini": Rates(2_000, 200, 8_000),  # 2.00 / 0.20 / 8.00
}

MEDIA_RATES: Mapping[str, int] = {"gpt-4o-mini-transcribe": 3_000, "gpt-image-1-mini": 2_500}
"""Nano-US-dollars per input token that is audio or image (USD 3.00 and 2.50 a million)."""

UNIT_RATES: Mapping[str, int] = {"tts-1": 15_000, "whisper-1": 100}
"""Nano-US-dollars per character (USD 15 a million) and per millisecond (USD 0.006 a minute)."""

SESSION_RATES: Mapping[str, int] = {
    "gpt-live-1": 3_000_000_000,
    "gpt-realtime-translate": 2_040_000_000,
}
"""Nano-US-dollars per hour of a session (USD 3 an hour and 0.034 a minute)."""

_SNAPSHOTS = {"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18"}


_SENTENCES = (
    "Of course, I am happy to help you with that, and it will only take a moment of your time.",
    "I have found your account, and everything on it looks just as it should as of this morning.",
    "The next free visit is on Tuesday at half past ten, which is also the one closest to you.",
    "If that does not suit you, I can look for a later day or ask a colleague to call you back.",
    "You will get a short message with all the details, so there is no need to write this down.",
    "There is nothing to pay today, and you can change your mind until the evening before.",
    "Please keep your order number at hand, since the driver may ask for it at the front door.",
    "I have made a note for the team, so that you will not have to tell the whole story again.",
    "Many people ask the same, and in most cases a quick restart of the small box is all it takes.",
    "Once the green light is steady, wait for about a minute and then try the same page again.",
    "Your last invoice was sent on the first of the month, and it has already been paid in full.",
    "We are open every day from eight to six, and on Sunday someone is there until early noon.",
)
_ONE_SENTENCE = 25
_DETAIL = 400
_ORDINARY = 60
_LONGEST = 100_000


def served_model(asked: str) -> str:
    """Return the model name that the response carries: the dated snapshot, if there is one."""
    return _SNAPSHOTS.get(asked, asked)


def nano_usd(model: str, input_tokens: int, cached_tokens: int, output_tokens: int) -> int | None:
    """Price one request.

    Args:
        model: Name as asked for; a dated snapshot costs what its base model costs.
        input_tokens: Prompt tokens, the cached ones included.
        cached_tokens: Prompt tokens that were read from the prompt cache.
        output_tokens: Completion tokens, the reasoning ones included.

    Returns:
        Nano-US-dollars, or None if the server has no price for *model*.
    """
    rates = _rates(model)
    if rates is None:
        return None
    fresh = input_tokens - cached_tokens
    return fresh * rates.input + cached_tokens * rates.cached + output_tokens * rates.output


def _rates(model: str) -> Rates | None:
    return RATES.get(_SNAPSHOT_DATE.sub("", model))


def models_json() -> dict[str, object]:
    """Return the list of the models that have a price."""
    every = [{"id": m, "object": "model", "created": 0, "owned_by": "system"} for m in RATES]
    return {"object": "list", "data": every}


def tokenize(text: str) -> list[str]:
    """Split *text* into tokens; joined, they are the text again."""
    return _TOKEN.findall(text)


def text_of(message: Mapping[str, object]) -> str:
    """Return the text of a chat message, whether its content is a string or a list of parts."""
    return "".join(part for part in _parts(message) if part is not None)


def last_question(body: Mapping[str, object]) -> tuple[str, bool]:
    """Return the last user message and whether a tool has answered since."""
    messages = body.get("messages")
    answered = False
    for message in reversed(messages if isinstance(messages, list) else []):
        if message.get("role") == "user":
            return text_of(message), answered
        answered = answered or message.get("role") == "tool"
    return "", answered


def prompt_tokens(body: Mapping[str, object]) -> list[str]:
    """Return the tokens of a chat completions request, in the order in which they are cached.

    Tools come first and messages follow, as in OpenAI's own prefix.
    """
    tokens = tokenize(as_json(body["tools"])) if body.get("tools") else []
    messages = body["messages"]
    for message in messages if isinstance(messages, list) else []:
        tokens += _message_tokens(message)
    return tokens + ["<reply>"] * TOKENS_PER_REQUEST


def _message_tokens(message: Mapping[str, object]) -> list[str]:
    tokens = [f"<{message.get('role')}>"] * TOKENS_PER_MESSAGE
    for part in _parts(message):
        tokens += ["<attachment>"] * TOKENS_PER_ATTACHMENT if part is None else tokenize(part)
    if message.get("tool_calls"):
        tokens += tokenize(as_json(message["tool_calls"]))
    return tokens


def _parts(message: Mapping[str, object]) -> list[str | None]:
    """Return the text of each content part; None stands for a part that is not text."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = [part.get("text") if isinstance(part, dict) else None for part in content]
    return [text if isinstance(text, str) else None for text in texts]


def as_json(value: object) -> str:
    """Return *value* as compact JSON, the form in which tools are counted."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def answer_tokens(question: str, seed: int) -> list[str]:
    """Return the tokens of an answer as long as *question* asks for, varied by *seed*."""
    exact = re.search(r"\b(\d{1,6}) tokens?\b", question)
    if exact:
        return _exactly(min(int(exact[1]), _LONGEST), seed)
    about = _ORDINARY
    if "in one sentence" in question.lower():
        about = _ONE_SENTENCE
    elif "in detail" in question.lower():
        about = _DETAIL
    return _about(about, seed)


def _about(target: int, seed: int) -> list[str]:
    """Return whole sentences of about *target* tokens: at least one."""
    tokens: list[str] = []
    for sentence in _sentences(seed, target):
        if tokens and len(tokens) + len(tokenize(sentence)) // 2 > target:
            break
        tokens += tokenize(f" {sentence}" if tokens else sentence)
    return tokens


def _exactly(target: int, seed: int) -> list[str]:
    """Return *target* tokens, a full stop at the end."""
    tokens = tokenize(" ".join(_sentences(seed, target)))[:target]
    return [*tokens[:-1], "."] if tokens else []


def _sentences(seed: int, tokens: int) -> list[str]:
    """Return sentences that come to more than *tokens*, beginning where *seed* says."""
    start = seed % len(_SENTENCES)
    # No sentence has fewer than 16 tokens.
    return list(islice(cycle(_SENTENCES), start, start + tokens // 16 + 1))


@dataclass(frozen=True, slots=True)
class BillItem:
    """What the server charges for one request that it answered, whoever read the answer."""

    request_id: str
    """The response's ``x-request-id``."""
    at: float
    """When the request came in, in seconds since the epoch."""
    model: str
    """The model as asked for."""
    input_tokens: int
    """Prompt tokens, the cached ones included."""
    cached_tokens: int
    """Prompt tokens read from the prompt cache."""
    output_tokens: int
    """Completion tokens of all choices, the reasoning ones included."""
    reasoning_tokens: int
    """Completion tokens that no one sees."""
    completed: bool = False
    """Whether the whole answer was written to the client."""
    reported: bool = False
    """Whether a usage was sent to the client (under a ``Usage`` step, a false one)."""
    attempt: int | None = None
    """The client's ``x-stainless-retry-count``: 0 for the first try; None without the header."""
    metadata: Mapping[str, object] | None = None
    """The request's ``metadata``, if it had one."""
    media_tokens: int = 0
    """Prompt tokens that are audio or image."""
    units: int = 0
    """Characters or milliseconds, of a model or a session that bills by them."""
    audio_input_tokens: int = 0
    """Subset of the prompt tokens."""
    cached_audio_tokens: int = 0
    """Subset of the cached tokens, and of the audio ones."""
    audio_output_tokens: int = 0
    """Subset of the completion tokens."""
    nano_usd: int | None = field(init=False)
    """Nano-US-dollars; None if the server has no price for the model."""

    def __post_init__(self) -> None:
        price = nano_usd(self.model, self.input_tokens, self.cached_tokens, self.output_tokens)
        if price is not None and self.media_tokens:
            price += self.media_tokens * (MEDIA_RATES[self.model] - RATES[self.model].input)
        rates = _rates(self.model)
        if price is not None and rates is not None:
            fresh = self.audio_input_tokens - self.cached_audio_tokens
            price += fresh * (rates.audio_input - rates.input)
            price += self.cached_audio_tokens * (rates.cached_audio - rates.cached)
            price += self.audio_output_tokens * (rates.audio_output - rates.output)
        if self.model in UNIT_RATES:
            price = self.units * UNIT_RATES[self.model]
        if self.model in SESSION_RATES:
            price = -(-self.units * SESSION_RATES[self.model] // 3_600_000)
        object.__setattr__(self, "nano_usd", price)

    @property
    def response_id(self) -> str:
        """The ``id`` of the answer, which the client sees from the first chunk on."""
        return self.request_id.replace("req_", "chatcmpl-")

    def usage(self) -> dict[str, object]:
        """Return the item as the ``usage`` object of OpenAI's responses."""
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


class Bill:
    """All that the server charged for, in the order in which it was first booked. Thread-safe."""

    def __init__(self, items: Iterable[BillItem] = ()) -> None:
        self._items = {item.request_id: item for item in items}
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Bill({list(self.items)!r})"

    @property
    def items(self) -> tuple[BillItem, ...]:
        """One item per billed request."""
        with self._lock:
            return tuple(self._items.values())

    @property
    def total_nano_usd(self) -> int:
        """Nano-US-dollars of all items that have a price."""
        return sum(item.nano_usd for item in self.items if item.nano_usd is not None)

    def by_model(self) -> dict[str, Bill]:
        """Return a bill of its own for each model asked for."""
        items = self.items
        models = dict.fromkeys(item.model for item in items)
        return {model: Bill(item for item in items if item.model == model) for model in models}

    def by_request(self, request_id: str) -> BillItem | None:
        """Return the item of the response with this ``x-request-id``; None if it was not billed."""
        with self._lock:
            return self._items.get(request_id)

    def book(self, item: BillItem) -> None:
        """Add *item*, or put it in the place of an earlier one of the same request."""
        with self._lock:
            self._items[item.request_id] = item
