"""One sending of a request on the wire, and what it is billed for."""

import time
from dataclasses import dataclass, field, replace
from typing import Literal

from aden.core.estimate import made_within, output_tokens, text_size
from aden.core.failure import ReportedFailure
from aden.core.request import Request
from aden.core.usage import COUNTS, NO_USAGE, Usage
from aden.telemetry.spans import NO_ANSWER, Answer

Outcome = Literal["open", "reported", "unknown", "free"]
"""``reported``: the provider counted. ``unknown``: it may have billed. ``free``: it cannot have."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Images that a model had another one make for its answer."""

    model: str
    usage: Usage


@dataclass(slots=True)
class Attempt:
    """What is known of one attempt while it runs and after."""

    request: Request
    """As it was sent, with the model that it asked."""
    sent_at: float = field(default_factory=time.perf_counter)
    outcome: Outcome = "open"
    usage: Usage = NO_USAGE
    first_chunk_at: float | None = None
    deltas: int = 0
    size: int = 0
    """UTF-8 bytes of the content seen."""
    unread: int = 0
    """Output tokens that had been generated, or nearly so, when the stream was left unread."""
    silent: bool = False
    """True where it was sent, waited for, and no answer began: what was generated is unknown."""
    hung_up_after_s: float | None = None
    """Seconds after which the caller hung up, where no answer had begun; so long it may have been
    generated."""
    at_work: bool = False
    """True where the provider works on in the background, whoever listens."""
    over: bool = False
    """True where the provider has said its last word, though the caller may not have read it."""
    drawn: Drawn | None = None
    """What is billed besides, at the price of another model."""
    failure: ReportedFailure | None = None
    """The provider's own word that it failed."""
    doubt: str | None = None
    """What in the provider's count cannot be true."""
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    answer: Answer = NO_ANSWER
    """What else the answer said, for its span and metrics."""
    service_tier: str | None = None
    """The service tier in which it was answered, where the provider says so."""

    def saw_chunk(self) -> bool:
        """Note that a chunk arrived; True for the first."""
        if self.first_chunk_at is not None:
            return False
        self.first_chunk_at = time.perf_counter()
        return True

    @property
    def untold(self) -> bool:
        """Whether the answer is whole, and no usage came with it where one was to be expected."""
        if self.outcome != "unknown" or not self.over:
            return False
        return not (self.request.carries.counted or self.request.unlisted)

    def saw_text(self, text: str) -> None:
        """Note a piece of the answer: text, a tool call's arguments, a refusal."""
        self.deltas += 1
        self.size += text_size(text)

    def saw_speech(self, tokens: int) -> None:
        """Note a piece of speech: output at a price of its own."""
        spoken = self.usage.audio_output_tokens or 0
        self.usage = replace(self.usage, audio_output_tokens=spoken + tokens)
        self.deltas += tokens

    def left_unread(self, events: int) -> None:
        """Note how many more pieces the provider had made when nobody read on."""
        tokens = output_tokens(self.deltas, self.size)
        self.unread = -(-events * tokens // self.deltas) if self.deltas else events

    def saw_usage(self, usage: Usage) -> None:
        """Note what the provider counted; later counts replace earlier ones, each for itself."""
        if not usage.counted:
            return
        again = self.outcome == "reported"  # before, what stands there is a guess
        self.usage = usage.filled(self.usage) if again else usage
        self.outcome = "reported"

    def saw_searches(self, searches: Usage) -> None:
        """Note searches that the provider made so far; its last word replaces them."""
        if self.outcome == "open":
            self.usage += searches

    def ended_unknown(self) -> None:
        """It was sent and cut off: it may have been billed."""
        if self.outcome == "open":
            self.outcome = "unknown"

    def hung_up(self) -> None:
        """The caller gave up before an answer began, and the provider stopped."""
        self.hung_up_after_s = time.perf_counter() - self.sent_at
        self.ended_unknown()

    def ended_free(self) -> None:
        """It failed in a way that no provider bills."""
        if self.outcome == "open":
            self.outcome = "free"

    def billed(
        self,
        likely_input: int,
        reserved_output: int,
        most_output: int | None = None,
        *,
        likely_cached: int | None = None,
        in_tokens: bool = True,
    ) -> Usage:
        """The usage to settle: the provider's figures, else an estimate, never below them.

        Args:
            likely_input: Best guess at the input tokens.
            reserved_output: What was reserved for the output, for what cannot be seen.
            most_output: The cap on the output that the provider was given.
            likely_cached: Best guess at how many of the input tokens came from the cache.
            in_tokens: Whether the model's price is by the token.
        """
        if (told := self.told) is not None:
            return told
        carried = self.request.carries
        if carried.counted and not in_tokens:
            return self.usage.filled(carried)
        if self.request.max_output_tokens == 0:  # an embedding has no output to be counted
            return self.usage.filled(Usage(likely_input, estimated=True)).filled(carried)
        seen = output_tokens(self.deltas, self.size) + self.unread
        if most_output is not None:
            seen = min(seen, most_output)
        unseen = not self.request.stream and not self.size
        if unseen or self.silent or self.at_work or self.request.hidden_output:
            seen = max(seen, reserved_output)
        elif self.hung_up_after_s is not None:
            made = made_within(self.hung_up_after_s, self.request.choices)
            seen = max(seen, min(made, reserved_output))
        cached = None if likely_cached is None else min(likely_cached, likely_input)
        estimate = Usage(likely_input, seen, cached, estimated=True)
        reported = {
            name: value for name in COUNTS if (value := getattr(self.usage, name)) is not None
        }
        return replace(estimate, **reported).filled(carried)

    @property
    def told(self) -> Usage | None:
        """The usage to settle where nothing of it is an estimate."""
        if self.outcome == "free":
            return NO_USAGE
        if self.outcome != "reported" or not self._complete:
            return None
        carries = self.request.carries
        return self.usage if carries is NO_USAGE else self.usage.filled(carries.units)

    @property
    def _complete(self) -> bool:
        """Whether what the provider counted is the whole bill."""
        usage = self.usage
        if usage.input_tokens is None or usage.output_tokens is None:
            no_output = usage.input_tokens is not None and self.request.max_output_tokens == 0
            return no_output or not usage.in_tokens
        return True
