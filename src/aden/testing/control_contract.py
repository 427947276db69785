"""What an Aden control server accepts and answers, strictly: the books behind `ControlServer`.

It prices the calls that it is told of by a table of its own, as existing servers do, and counts
each budget's spend over the calendar month (UTC) of its own clock.
"""

import gzip
import hashlib
import json
import re
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import formatdate

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PRICING: Mapping[str, Mapping[str, object]] = {
    "gpt-4o": {"provider": "openai", "input": 2.5, "output": 10.0, "cached_input": 1.25},
    "gpt-4o-mini": {"provider": "openai", "input": 0.15, "output": 0.6, "cached_input": 0.075},
}
"""US dollars per million tokens."""
_OTLP: Mapping[str, type[ExportTraceServiceRequest | ExportMetricsServiceRequest]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}
_KINDS = ("metric", "control", "heartbeat", "error")
_ACTIONS = ("allow", "block", "throttle", "degrade", "alert")
_STATUSES = ("healthy", "degraded", "reconnecting")
_PARTS = ("name", "budgets", "throttles", "blocks", "degradations", "alerts")
_LABELS = {"agent": "agent", "tenant": "tenant_id", "customer": "customer_id", "feature": "feature"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """What is wrong with a request."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class ControlBooks:
    """Policies, events and spend of one team. Thread-safe.

    Args:
        key: The bearer token that is let in.
        policy: The default policy's document; ``spent`` is worked out here.
        clock: Unix seconds.
        is_old: As servers of early 2026: no ETag, no OTLP, and an event that comes twice counts
            twice.
    """

    def __init__(
        self,
        key: str,
        policy: Mapping[str, object],
        *,
        clock: Callable[[], float] = time.time,
        is_old: bool = False,
    ) -> None:
        self._key = key
        self._clock = clock
        self._is_old = is_old
        self._lock = threading.RLock()
        self._seen: set[str] = set()
        self._spent: dict[tuple[str, str], Decimal] = {}
        self.policies: dict[str, dict[str, object]] = {"default": {"id": "default", **policy}}
        self.events: list[dict[str, object]] = []
        """Those that were accepted, in order."""
        self.refused: list[str] = []
        """Why requests were refused."""

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a request; *headers* by their names in small letters."""
        date = {"Date": formatdate(self._clock(), usegmt=True)}
        try:
            with self._lock:
                status, answer, more = self._answer(method, path, headers, body)
        except RefusedError as error:
            if not path.startswith("/socket.io/"):  # who looks for pushes may look
                self.refused.append(f"{method} {path}: {error}")
            return Reply(error.status, str(error).encode(), date)
        return Reply(status, answer, {"Content-Type": "application/json", **date, **more})

    def of_kind(self, kind: str) -> list[dict[str, object]]:
        """The accepted events of a kind."""
        with self._lock:
            return [event for event in self.events if event["event_type"] == kind]

    def document(self, policy_id: str = "default") -> dict[str, object]:
        """A policy as it is sent, with what is spent by now."""
        with self._lock:
            policy = self.policies[policy_id]
            budgets = policy.get("budgets", [])
            assert isinstance(budgets, list)
            month = self._month()
            told = [{**each, "spent": float(self._spent_on(each, month))} for each in budgets]
            document = {**policy, "budgets": told}
            version = hashlib.sha256(json.dumps(policy, sort_keys=True).encode()).hexdigest()[:8]
            return {"name": "Default Policy", "version": version, **document}

    def spend(self, budget_id: str, usd: str) -> None:
        """Book spend that comes from elsewhere."""
        with self._lock:
            key = (budget_id, self._month())
            self._spent[key] = self._spent.get(key, Decimal(0)) + Decimal(usd)

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if method == "POST" and path in _OTLP and not self._is_old:
            self._know_key(headers)
            return _check_otlp(path, headers, body)
        return self._route(method, path, headers, body)

    def _route(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if (method, path) == ("GET", "/v1/control/health"):
            return _json({"status": "ok", "timestamp": self._iso(), "websocket": False})
        instance_id, policy_id = self._let_in(path, headers)
        if (method, path) == ("GET", "/v1/control/policy"):
            return self._policy(policy_id, headers)
        if (method, path) == ("POST", "/v1/control/events"):
            return self._events(_parsed(body), instance_id)
        if (method, path) == ("GET", "/tsdb/pricing"):
            return _json({"pricing": PRICING, "count": len(PRICING)})
        if method == "PUT" and (found := re.fullmatch(r"/v1/control/policies/([^/]+)", path)):
            return self._change(found[1], _parsed(body))
        if method == "POST" and (found := re.fullmatch(r"/v1/control/budget/([^/]+)/reset", path)):
            self._spent.pop((found[1], self._month()), None)
            return _json({"success": True, "id": found[1]})
        raise RefusedError(404, "there is nothing here")

    def _let_in(self, path: str, headers: Mapping[str, str]) -> tuple[str, str]:
        """Who asks, and of which policy."""
        if not path.startswith(("/v1/control/", "/tsdb/")):
            raise RefusedError(404, "there is nothing here")
        self._know_key(headers)
        instance_id = headers.get("x-sdk-instance-id", "")
        try:
            uuid.UUID(instance_id)
        except ValueError:
            raise RefusedError(400, "X-SDK-Instance-ID is no UUID") from None
        policy_id = headers.get("x-policy-id", "default")
        if policy_id not in self.policies:
            raise RefusedError(404, "there is no such policy")
        return instance_id, policy_id

    def _know_key(self, headers: Mapping[str, str]) -> None:
        if headers.get("authorization") != f"Bearer {self._key}":
            raise RefusedError(401, "the token is not valid")

    def _policy(
        self, policy_id: str, headers: Mapping[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        status, body, more = _json(self.document(policy_id))
        if self._is_old:
            return status, body, more
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if headers.get("if-none-match") == etag:
            return 304, b"", {"ETag": etag}
        return status, body, {"ETag": etag}

    def _change(self, policy_id: str, change: object) -> tuple[int, bytes, dict[str, str]]:
        if policy_id not in self.policies:
            raise RefusedError(404, "there is no such policy")
        if not isinstance(change, dict) or set(change) - set(_PARTS):
            raise RefusedError(400, f"only {', '.join(_PARTS)} can be changed")
        self.policies[policy_id].update(change)
        return _json(self.document(policy_id))

    def _events(self, body: object, instance_id: str) -> tuple[int, bytes, dict[str, str]]:
        if not isinstance(body, dict) or not isinstance(body.get("events"), list):
            raise RefusedError(400, "events is no list")
        events = body["events"]
        for event in events:
            check_event(event, instance_id)
        for event in events:
            name = event.get("event_id")
            if name is not None and not self._is_old:
                if name in self._seen:
                    continue
                self._seen.add(name)
            self.events.append(event)
            if event["event_type"] == "metric":
                self._book(event["data"])
        return _json({"success": True, "processed": len(events)})

    def _book(self, data: Mapping[str, object]) -> None:
        month = _month_of(_text(data, "timestamp"))
        cost = price(data)
        budgets = self.policies["default"].get("budgets", [])
        assert isinstance(budgets, list)
        for budget in budgets:
            metadata = data.get("metadata")
            if _counts(budget, metadata if isinstance(metadata, dict) else {}):
                key = (str(budget["id"]), month)
                self._spent[key] = self._spent.get(key, Decimal(0)) + cost

    def _spent_on(self, budget: Mapping[str, object], month: str) -> Decimal:
        return self._spent.get((str(budget["id"]), month), Decimal(0))

    def _month(self) -> str:
        return self._iso()[:7]

    def _iso(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat()


def price(data: Mapping[str, object]) -> Decimal:
    """What a call costs by the server's own table, in US dollars; 0 where it has no price."""
    rates = PRICING.get(str(data["model"]))
    if rates is None:
        return Decimal(0)
    counts = [Decimal(str(data[f"{name}_tokens"])) for name in ("input", "cached", "output")]
    full, cached, out = (Decimal(str(rates[name])) for name in ("input", "cached_input", "output"))
    return ((counts[0] - counts[1]) * full + counts[1] * cached + counts[2] * out) / 1_000_000


def check_event(event: object, instance_id: str) -> None:
    """Hold an event against the contract.

    Raises:
        RefusedError: It is not as it has to be.
    """
    if not isinstance(event, dict):
        raise RefusedError(400, "an event is no object")
    kind = event.get("event_type")
    if kind not in _KINDS:
        raise RefusedError(400, f"event_type {kind!r}")
    _month_of(_text(event, "timestamp"))
    _text(event, "agent_name")
    if event.get("sdk_instance_id") != instance_id:
        raise RefusedError(400, "sdk_instance_id is not that of the header")
    if kind == "metric":
        _check_metric(event.get("data"))
    elif kind == "control":
        for name in ("trace_id", "span_id", "provider", "original_model", "policy_id"):
            _text(event, name)
        _one_of(event, "action", _ACTIONS)
    elif kind == "heartbeat":
        _one_of(event, "status", _STATUSES)
        for name in ("requests_since_last", "errors_since_last", "policy_cache_age_seconds"):
            _number(event, name)
        if not isinstance(event.get("websocket_connected"), bool):
            raise RefusedError(400, "websocket_connected")
        _text(event, "sdk_version")
    else:
        _text(event, "message")


def _check_metric(data: object) -> None:
    if not isinstance(data, dict):
        raise RefusedError(400, "data is no object")
    for name in ("trace_id", "span_id", "provider", "model"):
        _text(data, name)
    if not re.fullmatch("[0-9a-f]{32}", _text(data, "trace_id")):
        raise RefusedError(400, "trace_id")
    _month_of(_text(data, "timestamp"))
    if not isinstance(data.get("stream"), bool):
        raise RefusedError(400, "stream")
    counted = ("input", "output", "total", "cached", "reasoning")
    for name in ("call_sequence", "latency_ms", *(f"{each}_tokens" for each in counted)):
        _number(data, name)


def _check_otlp(
    path: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, bytes, dict[str, str]]:
    try:
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        _OTLP[path].FromString(plain)
    except (OSError, EOFError, zlib.error, DecodeError):
        raise RefusedError(400, "the body is no OTLP") from None
    return _json({})


def _counts(budget: Mapping[str, object], metadata: Mapping[str, object]) -> bool:
    kind = str(budget.get("type", "global"))
    if kind == "tag":
        wanted, tags = budget.get("tags") or [], metadata.get("tags") or []
        assert isinstance(wanted, list)
        assert isinstance(tags, list)
        return bool(set(wanted) & set(tags))
    if kind in _LABELS:
        return metadata.get(_LABELS[kind]) in (budget.get("name"), budget["id"])
    return True


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise RefusedError(400, name)
    return value


def _number(fields: Mapping[str, object], name: str) -> None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise RefusedError(400, name)


def _one_of(fields: Mapping[str, object], name: str, allowed: tuple[str, ...]) -> None:
    if fields.get(name) not in allowed:
        raise RefusedError(400, name)


def _month_of(timestamp: str) -> str:
    try:
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        raise RefusedError(400, f"timestamp {timestamp!r}") from None
    if at.utcoffset() is None:
        raise RefusedError(400, f"timestamp {timestamp!r} has no zone")
    return at.astimezone(UTC).isoformat()[:7]


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        raise RefusedError(400, "the body is no JSON") from None


def _json(value: object) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(value).encode(), {}
