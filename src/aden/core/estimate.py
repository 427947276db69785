"""How many tokens a text has, where nobody has counted them."""

import threading
from collections import OrderedDict

from aden.core.forks import see_through_forks
from aden.core.request import Request
from aden.core.usage import Usage
from aden.core.value import value

BYTES_PER_TOKEN = 4.0
"""Typical for English (https://platform.openai.com/tokenizer: "~4 characters")."""
UPPER_BYTES_PER_TOKEN = 3.0
"""Upper estimate for natural text; JSON and code stay below it too."""
MAX_BYTES_PER_TOKEN = 8.0
"""Words of a tokenizer are seldom longer; a report that says so has counted something else."""
MAX_BYTES_PER_DELTA = 6
"""A stream with longer pieces, on average, has several tokens in each."""
TOKENS_PER_S = 250
"""Of one choice; an assumption. It is above what OpenAI's chat models show, and below that of hosts
which are made for speed."""
COLD_OUTPUT_TOKENS = 1024
"""Output reserved for a model of which too few answers were seen."""
COLD_UNSEEN_TOKENS = 4096
"""Input that the provider keeps, where nobody here has seen what it last came to."""
MAX_CONVERSATIONS = 4096
KEPT_S = 300.0
"""So long a prompt stays in a provider's cache at least, once it was used
(https://platform.openai.com/docs/guides/prompt-caching: 5 to 10 minutes of inactivity)."""


@value
class _Reported:
    size: int
    extra: int
    tokens: int
    model: str
    cached: int | None
    sent_at: float

    @property
    def bytes_per_token(self) -> float:
        """What this model's tokenizer made of the text; framing and images are not text."""
        text = max(1, self.tokens - self.extra)
        return min(MAX_BYTES_PER_TOKEN, max(1.0, self.size / text))


class InputEstimator:
    """Continues a conversation's last reported prompt; remembers one report a conversation.

    The prompt of turn n+1 is turn n's prompt and a little new text, so only the new text has to be
    guessed, at the ratio that this model itself showed.
    """

    def __init__(self) -> None:
        self.after_fork_in_child()
        self._reports: OrderedDict[tuple[str, ...], _Reported] = OrderedDict()
        self._kept: OrderedDict[str, int] = OrderedDict()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def report(
        self, conversation: tuple[str, ...], request: Request, usage: Usage, sent_at: float
    ) -> None:
        """Note what the provider counted for a request that was sent whole at *sent_at*."""
        tokens = usage.input_tokens or 0
        if request.input_chars <= 0 or tokens <= 0 or request.unseen_input:
            return
        reported = _Reported(
            request.input_chars,
            request.input_extra_tokens,
            tokens,
            request.model,
            usage.cached_tokens,
            sent_at,
        )
        with self._lock:
            for key in (conversation, conversation[:2]):
                self._reports[key] = reported
                self._reports.move_to_end(key)
            while len(self._reports) > MAX_CONVERSATIONS:
                self._reports.popitem(last=False)

    def keep(self, request: Request, response_id: str | None, usage: Usage) -> None:
        """Note how much the provider will put in front of a request that continues this one."""
        hidden = usage.reasoning_tokens or 0  # it is not read again
        tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0) - hidden
        with self._lock:
            for name in (response_id, request.conversation_id):
                if name is not None:
                    self._kept[name] = tokens
                    self._kept.move_to_end(name)
            while len(self._kept) > MAX_CONVERSATIONS:
                self._kept.popitem(last=False)

    def likely(self, conversation: tuple[str, ...], request: Request) -> int:
        """The best guess at a request's input tokens."""
        return self._guess(conversation, request, BYTES_PER_TOKEN, MAX_BYTES_PER_TOKEN)

    def likely_cached(
        self, conversation: tuple[str, ...], request: Request, sent_at: float
    ) -> int | None:
        """The input tokens that the provider reads from its cache again; None: nobody knows.

        As many as it read from there for the session's last request, of which this one is the
        continuation; seldom fewer.
        """
        known = self._reports.get(conversation)
        if known is None or known.model != request.model or not conversation[2]:
            return None
        is_continued = request.input_chars >= known.size and not request.unseen_input
        return known.cached if is_continued and sent_at - known.sent_at < KEPT_S else None

    def upper(self, conversation: tuple[str, ...], request: Request) -> int:
        """A guess that is seldom too low; what a reservation holds."""
        return self._guess(conversation, request, UPPER_BYTES_PER_TOKEN, UPPER_BYTES_PER_TOKEN) + 8

    def _guess(
        self, conversation: tuple[str, ...], request: Request, cold: float, highest: float
    ) -> int:
        """Tokens at *cold* bytes each, or at the ratio that was observed, up to *highest*."""
        known, unseen = None, 0
        if request.unseen_input:
            name = request.previous_response_id or request.conversation_id or ""
            unseen = self._kept.get(name, COLD_UNSEEN_TOKENS)
        else:
            known = self._reports.get(conversation)
        if known is not None and request.input_chars >= known.size:
            ratio = min(highest, known.bytes_per_token)
            text = _ceil((request.input_chars - known.size) / ratio)
            return max(1, known.tokens + text + request.input_extra_tokens - known.extra)
        # Another conversation with this model, or this one cut: only the ratio carries over.
        cousin = self._reports.get(conversation[:2])
        ratio = min(highest, cousin.bytes_per_token) if cousin is not None else cold
        return _ceil(request.input_chars / ratio) + request.input_extra_tokens + unseen


def output_tokens(deltas: int, size: int) -> int:
    """Output tokens of a stream as far as it was seen.

    Args:
        deltas: Pieces of content that arrived; providers send about one token in each.
        size: UTF-8 bytes of that content.
    """
    if size <= MAX_BYTES_PER_DELTA * deltas:
        return deltas
    return max(deltas, _ceil(size / BYTES_PER_TOKEN))


def made_within(seconds: float, choices: int) -> int:
    """Most output tokens that may have been made in *seconds*, of which nothing was seen."""
    return _ceil(max(0.0, seconds) * TOKENS_PER_S) * choices


def _ceil(value: float) -> int:
    return -int(-value // 1)


def text_size(text: str) -> int:
    """UTF-8 bytes, without encoding where that is not needed."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
