"""The finished call, as emitters, the journal and tables see it."""

import json
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from aden.core.attribution import NOBODY, Attribution
from aden.core.decision import ALLOW, Decision
from aden.core.money import NanoUSD
from aden.core.place import NOWHERE, Place
from aden.core.request import Component
from aden.core.usage import Usage
from aden.core.value import value


@value
class CallRecord:
    """One request to a provider, settled: what emitters receive and the journal keeps."""

    id: str
    """Operation id, unique over all processes; it begins with the time, and sorts by it."""
    at: float
    """Unix seconds at which the request was first seen."""
    provider: str
    asked_model: str
    """The model that the caller asked for."""
    model: str
    """The model that was sent."""
    usage: Usage
    """Summed over the attempts."""
    cost: NanoUSD
    """Nano-dollars, summed over the attempts."""
    decision: Decision = ALLOW
    observed: Decision | None = None
    """What would have been decided, where something is only observed; None: nothing is."""
    price_source: str = "none"
    """Where the price came from: ``override | user | overlay | genai-prices | bridge | floor``."""
    attribution: Attribution = NOBODY
    component: Component = "llm"
    """Which part of a voice agent asked."""
    place: Place = NOWHERE
    """At which point of a voice agent's work it was made."""
    attempts: int = 0
    """How often the request was sent on the wire."""
    stream: bool = False
    stream_end: str | None = None
    """How a stream ended: ``complete | abandoned | cancelled | error``; None for a plain call."""
    ttft_ms: float | None = None
    """Milliseconds from sending to the first chunk."""
    latency_ms: float = 0.0
    """Milliseconds from the caller's call to its end, gate and throttle included."""
    error_type: str | None = None
    budget_id: str | None = None
    """The tightest matching budget."""
    percent_used: float | None = None
    """Per cent of that budget spent after this call, without open holds."""
    reach: str | None = None
    """Who shares that budget's ledger: ``process | host | fleet``."""
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    repeats: int = 1
    """How many requests this stands for: refusals that repeat are reported once a second."""
    pid: int = 0
    trace_id: str | None = None
    span_id: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            **_plain(self),
            "usage": _plain(self.usage),
            "decision": _plain(self.decision),
            "observed": _plain(self.observed) if self.observed else None,
            "attribution": _plain(self.attribution),
            "place": self.place.as_dict(),
        }

    def to_json(self) -> str:
        """One compact line, without what is None; the journal keeps it."""
        said = _said(self)
        for name in ("usage", "decision", "observed", "attribution"):
            if name in said:
                said[name] = _said(getattr(self, name))
        if self.place is NOWHERE:
            del said["place"]
        else:
            said["place"] = self.place.as_dict()
        return _encode(said)

    @classmethod
    def from_json(cls, line: str) -> "CallRecord":
        """The inverse of `to_json`; what a newer aden added is left out."""
        values: dict[str, Any] = json.loads(line)
        who = values["attribution"]
        who["tags"] = tuple(who["tags"])
        values["attribution"] = Attribution(**_known(Attribution, who))
        values["place"] = Place(**_known(Place, values.get("place") or {}))
        values["usage"] = Usage(**_known(Usage, values["usage"]))
        values["decision"] = Decision(**_known(Decision, values["decision"]))
        would_be = values.get("observed")
        values["observed"] = Decision(**_known(Decision, would_be)) if would_be else None
        values["finish_reasons"] = tuple(values["finish_reasons"])
        return cls(**_known(cls, values))


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Those of *values* that *kind* has a field for."""
    names = _names(kind)
    if values.keys() <= names:
        return values
    return {name: value for name, value in values.items() if name in names}


@cache
def _names(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


_encode = json.JSONEncoder(separators=(",", ":")).encode  # `dumps` makes one at each call


def _plain(value: Any) -> dict[str, object]:
    """The fields of a record or of a value in it: `dataclasses.asdict` without its deep copies."""
    return {name: getattr(value, name) for name in value.__slots__}


def _said(value: Any) -> dict[str, object]:
    """Those of the fields that are set."""
    return {name: said for name in value.__slots__ if (said := getattr(value, name)) is not None}


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that a person should know; what ``on_alert`` receives."""

    level: str
    """``info | warning | critical``."""
    message: str
    id: str = ""
    """Stable over processes: the same alert twice has the same id."""
    budget_id: str | None = None
    percent_used: float | None = None
    attribution: Attribution = field(default=NOBODY)
