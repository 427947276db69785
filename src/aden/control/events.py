"""What an Aden server is told of a finished call: a `CallRecord` as events. Pure.

No prompt and no answer is ever part of it. Fields that existing servers do not know (``event_id``,
``repeats``, ``attempts``, ``estimated``, ``cost_nano_usd``) are passed over by them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from aden.control.provider_names import server_name
from aden.core.attribution import Attribution
from aden.core.decision import Decision
from aden.core.record import CallRecord

Event = dict[str, object]
MAX_LABEL = 1_000
"""Characters of a label; what is longer is cut."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who tells it: what all events of a process have in common."""

    instance_id: str
    agent_name: str
    policy_id: str


def events_of(record: CallRecord, sequence: int, origin: Origin) -> Iterator[Event]:
    """``metric`` if the call was sent, ``control`` if it was not simply allowed."""
    if record.attempts:
        yield _metric(record, sequence, origin)
    if record.decision.action != "allow":
        yield _control(record, record.decision, origin)


def heartbeat(
    origin: Origin,
    at: float,
    *,
    status: str,
    requests: int,
    errors: int,
    policy_age_s: float,
    connected: bool,
    version: str,
) -> Event:
    """A sign of life."""
    return {
        **_common("heartbeat", at, origin),
        "status": status,
        "requests_since_last": requests,
        "errors_since_last": errors,
        "policy_cache_age_seconds": round(policy_age_s, 3),
        "websocket_connected": connected,
        "sdk_version": version,
    }


def _metric(record: CallRecord, sequence: int, origin: Origin) -> Event:
    usage = record.usage
    trace_id, span_id = _ids(record)
    inputs, outputs = usage.input_tokens or 0, usage.output_tokens or 0
    data: Event = {
        "trace_id": trace_id,
        "span_id": span_id,
        "request_id": record.response_id or record.id,
        "call_sequence": sequence,
        "provider": server_name(record.provider),
        "model": record.model,
        "stream": record.stream,
        "timestamp": _iso(record.at),
        "latency_ms": round(record.latency_ms, 3),
        "input_tokens": inputs,
        "output_tokens": outputs,
        "total_tokens": inputs + outputs,
        "cached_tokens": usage.cached_tokens or 0,
        "reasoning_tokens": usage.reasoning_tokens or 0,
        "metadata": _labels(record.attribution),
        "attempts": record.attempts,
        "estimated": usage.estimated,
        "cost_nano_usd": record.cost,
    }
    if record.error_type:
        data["error"] = record.error_type
    common = _common("metric", record.at, origin, record.attribution)
    return {**common, "event_id": f"{record.id}:metric", "data": data}


def _control(record: CallRecord, decision: Decision, origin: Origin) -> Event:
    trace_id, span_id = _ids(record)
    event = {
        **_common("control", record.at, origin, record.attribution),
        "event_id": f"{record.id}:control",
        "trace_id": trace_id,
        "span_id": span_id,
        "provider": server_name(record.provider),
        "original_model": record.asked_model,
        "action": decision.action,
        "policy_id": origin.policy_id,
        "repeats": record.repeats,
    }
    more = {
        "reason": decision.message or decision.reason,
        "degraded_to": decision.model,
        "throttle_delay_ms": decision.delay_ms or None,
        "budget_id": decision.budget_id,
        "context_id": record.attribution.context_id,
    }
    return event | {name: value for name, value in more.items() if value is not None}


def _common(kind: str, at: float, origin: Origin, attribution: Attribution | None = None) -> Event:
    agent = (attribution.agent if attribution else None) or origin.agent_name
    return {
        "event_type": kind,
        "timestamp": _iso(at),
        "sdk_instance_id": origin.instance_id,
        "agent_name": str(agent)[:MAX_LABEL],
    }


def _labels(attribution: Attribution) -> dict[str, object]:
    """The attribution, as short as a label is."""
    return {
        name: [str(tag)[:MAX_LABEL] for tag in value][:MAX_LABEL]
        if isinstance(value, list)
        else str(value)[:MAX_LABEL]
        for name, value in attribution.as_dict().items()
    }


def _ids(record: CallRecord) -> tuple[str, str]:
    """Trace and span; where there was no span, ids that are the same each time."""
    if record.trace_id and record.span_id:
        return record.trace_id, record.span_id
    digest = hashlib.sha256(record.id.encode()).hexdigest()
    return digest[:32], digest[32:48]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
