"""The policy document of an Aden server, read and checked: JSON in, a `Policy` out. Pure.

The fields and their older spellings are those that existing servers send; fields that are not
named here are passed over, since a newer server may send more.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from aden.budgets.budget import Budget, Mode
from aden.budgets.ladder import Alert, Beyond, Degrade, Step, Throttle
from aden.budgets.policy import Policy, make_policy
from aden.budgets.rule import Block, Rule
from aden.control.entry import Entry, located
from aden.control.provider_names import our_names
from aden.core.limit import requests
from aden.core.money import AsTyped, NanoUSD, parse_usd
from aden.errors import ConfigurationError

MAX_BYTES = 8_000_000
MAX_BUDGETS = 10_000
DEFAULT_DELAY_MS = 1000
"""What a throttle delays by where it does not say."""

_NAMED = ("agent", "tenant", "customer", "feature")
"""Budget types that match a label of the request with the budget's name or id."""
_ACTIONS: Mapping[str, Beyond] = {
    "kill": "cancel",
    "block": "cancel",
    "throttle": "throttle",
    "degrade": "degrade",
}


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """What a server's document says."""

    id: str
    name: str
    version: str
    """The server's own word for this state of the policy."""
    policy: Policy
    spent: Mapping[str, NanoUSD]
    """The server's own figure for each budget's calendar month (UTC), by budget id."""


def load_json(body: str | bytes) -> object:
    """JSON whose decimal numbers are kept as they were typed.

    Raises:
        ConfigurationError: It is too large, or no JSON.
    """
    if len(body) > MAX_BYTES:
        raise ConfigurationError("policy", f"{len(body)} bytes", f"at most {MAX_BYTES} bytes")
    try:
        return json.loads(body, parse_float=AsTyped, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("policy", body[:80], f"a JSON document ({error})") from None


def read_document(document: object, mode: Mode = "enforce") -> PolicyDocument:
    """Read a document, as `load_json` gives it.

    Raises:
        ConfigurationError: It is not valid; the message has the path of what is wrong, its value,
            and what is allowed.
    """
    top = Entry(document, "policy")
    entries = top.entries("budgets", MAX_BUDGETS)
    budgets = [located(entry, _budget) for entry in entries]
    rules: list[Rule] = []
    for entry in top.entries("throttles"):
        rate = located(entry, _throttle)
        if isinstance(rate, Rule):
            rules.append(rate)
        elif rate not in budgets:  # the same throttle twice is one
            budgets.append(rate)
    rules += [located(entry, _block) for entry in top.entries("blocks")]
    rules += [located(entry, _degradation) for entry in top.entries("degradations")]
    rules += [located(entry, _alert) for entry in top.entries("alerts")]
    policy = located(top, lambda _: make_policy(budgets, mode, rules))
    return PolicyDocument(
        id=top.text("id") or "default",
        name=top.text("name") or "",
        version=top.text("version") or policy.version,
        policy=policy,
        spent=read_spent(document),
    )


def read_spent(document: object) -> dict[str, NanoUSD]:
    """The server's own figure for each budget's calendar month (UTC), by budget id.

    Raises:
        ConfigurationError: As `read_document`.
    """
    entries = Entry(document, "policy").entries("budgets", MAX_BUDGETS)
    return {entry.required("id"): located(entry, _spent) for entry in entries}


def _budget(entry: Entry) -> Budget:
    beyond, steps = _at_limit(entry)
    for alert in entry.entries("alerts"):
        if alert.flag("enabled", default=True):
            steps.append(located(alert, lambda alert: Alert(alert.number("threshold"))))
    for threshold in entry.entries("thresholds"):
        steps += located(threshold, _threshold)
    return Budget(
        id=entry.required("id"),
        limit_usd=entry.amount("limit", "limit_usd"),
        window="month",  # servers count over the calendar month
        name=entry.text("name") or "",
        scope=_budget_scope(entry),
        ladder=steps,
        beyond=beyond,
    )


def _at_limit(entry: Entry) -> tuple[Beyond, list[Step]]:
    """What happens at the limit, and the step that does it."""
    action = entry.word(tuple(_ACTIONS), "limitAction", "action_on_exceed")
    beyond = _ACTIONS[action or "kill"]
    if beyond == "throttle":
        return beyond, [Throttle(100, DEFAULT_DELAY_MS)]
    if beyond == "degrade":
        to = entry.required("degradeToModel", "degrade_to_model")
        provider = entry.text("degradeToProvider", "degrade_to_provider")
        return beyond, [Degrade(100, to, our_names(provider))]
    return beyond, []


def _threshold(entry: Entry) -> list[Step]:
    percent = entry.number("percent")
    allowed = ("alert", "degrade", "throttle", "block", "kill")
    action = entry.word(allowed, "action") or "alert"
    if action == "alert":
        return [Alert(percent)]
    if action == "degrade":
        return [Degrade(percent, entry.required("degradeTo", "degrade_to"))]
    if action == "throttle":
        return [Throttle(percent, _delay(entry, "delayMs", "delay_ms"))]
    if percent != 100:
        raise ConfigurationError(
            f"{entry.path}.percent", percent, f"100: {action} is what the limit does"
        )
    return []


def _budget_scope(entry: Entry) -> dict[str, object]:
    kind = entry.word(("global", *_NAMED, "tag"), "type")
    context = entry.text("context_id")
    if kind in _NAMED:
        names = (entry.text("name"), entry.required("id"))
        return {kind: tuple(dict.fromkeys(name for name in names if name))}
    if kind == "tag":
        return {"tag": entry.texts("tags")}
    return {"context": context} if context and kind is None else {}


def _throttle(entry: Entry) -> Budget | Rule:
    """A rate is a budget of requests, shared by all who share the ledger; a delay is a rule."""
    scope = _rule_scope(entry)
    rate = entry.whole("requests_per_minute")
    if rate is None:
        return Rule(Throttle(0, _delay(entry, "delay_ms", required=True)), scope)
    delay_ms = _delay(entry, "delay_ms")
    digest = hashlib.sha256(repr((sorted(scope.items()), rate, delay_ms)).encode()).hexdigest()
    return Budget(
        id=f"throttle-{digest[:12]}",
        limit=requests(rate),
        window="rolling 60s",
        scope=scope,
        ladder=[Throttle(100, delay_ms)],
        beyond="throttle",
    )


def _block(entry: Entry) -> Rule:
    scope = _rule_scope(entry, entry.text("model_pattern"))
    return Rule(Block(entry.text("reason") or "cancelled by policy"), scope)


def _degradation(entry: Entry) -> Rule:
    triggers = ("budget_threshold", "budget_exceeded", "rate_limit", "always")
    trigger = entry.required_word(triggers, "trigger")
    to = entry.required("to_model")
    scope = _rule_scope(entry, entry.required("from_model"))
    if trigger == "always":
        return Rule(Degrade(0, to), scope)
    at = entry.number("threshold_percent") if trigger == "budget_threshold" else 100
    return Rule(Degrade(at, to), scope, "requests" if trigger == "rate_limit" else "usd")


def _alert(entry: Entry) -> Rule:
    trigger = entry.required_word(("budget_threshold", "model_usage", "always"), "trigger")
    level = entry.word(("info", "warning", "critical"), "level") or "warning"
    scope = _rule_scope(entry, entry.text("model_pattern"))
    on_budget = trigger == "budget_threshold"
    at = entry.number("threshold_percent") if on_budget else 0
    alert = Alert(at, level, entry.text("message"))  # type: ignore[arg-type]
    return Rule(alert, scope, "usd" if on_budget else None)


def _rule_scope(entry: Entry, model: str | None = None) -> dict[str, object]:
    scope: dict[str, object] = {}
    if context := entry.text("context_id"):
        scope["context"] = context
    if provider := entry.text("provider"):
        scope["provider"] = our_names(provider)
    if model:
        scope["model"] = model
    return scope


def _delay(entry: Entry, *names: str, required: bool = False) -> int:
    delay_ms = entry.whole(*names)
    if delay_ms is None and required:
        raise ConfigurationError(
            f"{entry.path}.{names[0]}", None, "requests_per_minute, or milliseconds"
        )
    return DEFAULT_DELAY_MS if delay_ms is None else delay_ms


def _spent(entry: Entry) -> NanoUSD:
    setting = f"{entry.path}.spent"
    return parse_usd(entry.amount("spent", "current_spend_usd") or 0, setting)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")
