"""The bill of one voice session: everything that its calls came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aden.core.attribution import NOBODY, Attribution
from aden.core.money import NanoUSD, format_usd, to_usd
from aden.core.place import NOWHERE, Place
from aden.core.request import Component
from aden.core.sums import Sums


@dataclass(frozen=True, slots=True)
class SessionBill:
    """What the calls of one LiveKit job came to, so far or at its end."""

    place: Place = NOWHERE
    """The job and its room."""
    attribution: Attribution = NOBODY
    """On whose account the job runs."""
    started_at: float = 0.0
    """Unix seconds."""
    duration_s: float = 0.0
    total: Sums = field(default_factory=Sums)
    components: Mapping[Component, Sums] = field(default_factory=dict)
    """By what asked: ``llm``, ``stt``, ``tts``, ``realtime`` …; only what was asked."""
    models: Mapping[str, Sums] = field(default_factory=dict)
    """By provider and model that were sent, such as ``openai/gpt-4o``, the dearest first."""
    turns: Mapping[str, Sums] = field(default_factory=dict)
    """By the speech of the agent that they were for, in order: the latest 256."""
    open_calls: int = 0
    """Calls that are sent and whose cost is not known yet."""

    @property
    def cost(self) -> NanoUSD:
        """Nano-dollars of everything."""
        return NanoUSD(self.total.cost)

    @property
    def cost_usd(self) -> float:
        """US dollars of everything."""
        return to_usd(self.total.cost)

    @property
    def estimated_share(self) -> float:
        """The part of the cost, from 0 to 1, for which no provider reported a usage."""
        return self.total.estimated / self.total.cost if self.total.cost else 0.0

    def line(self) -> str:
        """The bill in one line, for a log."""
        total = self.total
        parts = [f"{name} {format_usd(sums.cost)}" for name, sums in self.components.items()]
        models = [
            f"{name} {format_usd(sums.cost)}" for name, sums in self.models.items() if sums.sent
        ]
        said = [
            f"{format_usd(total.cost)} for {total.sent_shown} in {self.duration_s:.0f} s",
            *parts,
            f"by model: {', '.join(models)}" if models else "",
            f"{100 * self.estimated_share:.1f} % estimated" if total.estimated else "",
            f"{format_usd(total.unpriced)} without a known price" if total.unpriced else "",
            f"{total.refused} refused" if total.refused else "",
            f"{self.open_calls} still open" if self.open_calls else "",
        ]
        return "; ".join(part for part in said if part)
