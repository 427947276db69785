"""Calls added up."""

from dataclasses import dataclass

from aden.core.record import CallRecord


@dataclass(slots=True)
class Sums:
    """What some calls came to."""

    calls: int = 0
    """All, also those that were refused."""
    refused: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    """Nano-dollars."""
    estimated: int = 0
    """The part of `cost` of calls for which the provider reported no usage."""
    unpriced: int = 0
    """The part of `cost` that was priced at a provider's dearest rates, as no price was known."""
    sent: int = 0
    """Calls of which something was sent to a provider."""
    characters: int = 0
    connected_ms: int = 0
    """Milliseconds that connections were open, else of speech, heard or spoken."""

    @property
    def sent_shown(self) -> str:
        """How many calls were sent, for people: ``1 call``."""
        return f"{self.sent} call{'' if self.sent == 1 else 's'}"

    def add(self, record: CallRecord) -> None:
        """Count a call."""
        usage = record.usage
        self.calls += record.repeats
        self.refused += record.repeats if record.decision.action == "block" else 0
        self.sent += record.repeats if record.attempts else 0
        self.input_tokens += usage.input_tokens or 0
        self.cached_tokens += usage.cached_tokens or 0
        self.output_tokens += usage.output_tokens or 0
        self.cost += record.cost
        self.estimated += record.cost if usage.estimated else 0
        self.unpriced += record.cost if record.price_source == "floor" else 0
        self.characters += usage.characters or 0
        speech_ms = (usage.audio_input_ms or 0) + (usage.audio_output_ms or 0)
        self.connected_ms += speech_ms if usage.session_ms is None else usage.session_ms
