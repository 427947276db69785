"""Every environment variable that Aden reads, in one place.

Arguments in code win over these; these win over the defaults. ``OTEL_*`` variables mean what
OpenTelemetry says and are not listed here.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import get_args

from aden.budgets.budget import Mode
from aden.budgets.heard import OnRefusal
from aden.errors import ConfigurationError, did_you_mean
from aden.ledger.protocol import Reach

logger = logging.getLogger("aden")

VARIABLES: Mapping[str, str] = {
    "ADEN_API_KEY": "Bearer key of an Aden server.",
    "ADEN_API_URL": "Base URL of an Aden server: its policy, and where telemetry goes.",
    "ADEN_POLICY_ID": "Which of the Aden server's policies holds; else the team's default.",
    "ADEN_BUDGETS": "Path of a TOML file with [[budget]] tables.",
    "ADEN_PRICES": "Path of a TOML file with [[price]] tables, above all other prices.",
    "ADEN_LEDGER": "Where spend is booked: memory:, sqlite:///absolute/path or redis(s)://….",
    "ADEN_LEDGER_REACH": "Refuse to start on a ledger that reaches less: process, host or fleet.",
    "ADEN_MODE": "enforce, observe or off, for all budgets.",
    "ADEN_FAIL_OPEN": "true: what cannot be evaluated lets requests through instead of refusing.",
    "ADEN_HOOK_TIMEOUT_MS": "How long an async before_request may take, in milliseconds.",
    "ADEN_BUSY_WAIT_MS": "How long to wait for a refund when only open requests fill a budget.",
    "ADEN_HOOK_IN_THREAD": "true: a sync before_request runs in a thread, off the event loop.",
    "ADEN_ON_REFUSAL": "say, raise, hand_over or close: what a LiveKit caller gets to hear.",
    "ADEN_REFUSAL_MESSAGE": "What is said to a LiveKit caller whose turn is refused.",
    "ADEN_FILLER_MESSAGE": "What is said to a LiveKit caller whom a throttle lets wait.",
    "ADEN_REFUSE_SPEECH": "true: a LiveKit session whose STT or TTS is refused does not start.",
    "ADEN_CONTENT_MAX_CHARS": "Captured messages are cut to this many characters an attribute.",
    "ADEN_SEMCONV_OPT_IN": "gen_ai_cost: spans carry the cost also by the proposed gen_ai names.",
    "ADEN_LIVEKIT_METRICS": "true: LiveKit keeps its own gen_ai.client.* metrics; Aden adds none.",
    "ADEN_METER_FOREIGN_SPANS": "false: calls that other instrumentations show are not booked.",
    "ADEN_DOCTOR": "true: each process says once, as an error line, what is in force in it.",
    "ADEN_FLUSH_TIMEOUT": "Seconds that a process may take at its end to hand out what it holds.",
}
"""Name and meaning of each variable; ``docs/settings.md`` shows the same table."""

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; None where it says nothing."""

    api_key: str | None = field(default=None, repr=False)
    api_url: str | None = None
    policy_id: str | None = None
    budgets_path: str | None = None
    prices_path: str | None = None
    ledger: str | None = None
    ledger_reach: str | None = None
    mode: str | None = None
    fail_open: bool | None = None
    hook_timeout_ms: int | None = None
    busy_wait_ms: int | None = None
    hook_in_thread: bool | None = None
    on_refusal: str | None = None
    refusal_message: str | None = None
    filler_message: str | None = None
    refuse_speech: bool | None = None
    flush_timeout_s: float | None = None
    content_max_chars: int | None = None
    meter_foreign: bool | None = None
    doctor: bool | None = None
    livekit_metrics: bool | None = None
    semconv_opt_in: frozenset[str] = frozenset()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the variables.

        Raises:
            ConfigurationError: One has a value that it cannot have.
        """
        for name in env:
            if name.startswith("ADEN_") and name not in VARIABLES:
                _say_unknown(name)
        return cls(
            api_key=_text(env, "ADEN_API_KEY"),
            api_url=_text(env, "ADEN_API_URL"),
            policy_id=_text(env, "ADEN_POLICY_ID"),
            budgets_path=_text(env, "ADEN_BUDGETS"),
            prices_path=_text(env, "ADEN_PRICES"),
            ledger=_text(env, "ADEN_LEDGER"),
            ledger_reach=_one_of(env, "ADEN_LEDGER_REACH", get_args(Reach)),
            mode=_one_of(env, "ADEN_MODE", get_args(Mode)),
            fail_open=_switch(env, "ADEN_FAIL_OPEN"),
            hook_timeout_ms=_count(env, "ADEN_HOOK_TIMEOUT_MS", 60_000, "milliseconds"),
            busy_wait_ms=_count(env, "ADEN_BUSY_WAIT_MS", 60_000, "milliseconds"),
            hook_in_thread=_switch(env, "ADEN_HOOK_IN_THREAD"),
            refuse_speech=_switch(env, "ADEN_REFUSE_SPEECH"),
            on_refusal=_one_of(env, "ADEN_ON_REFUSAL", get_args(OnRefusal)),
            refusal_message=_text(env, "ADEN_REFUSAL_MESSAGE"),
            filler_message=_text(env, "ADEN_FILLER_MESSAGE"),
            flush_timeout_s=_seconds(env, "ADEN_FLUSH_TIMEOUT"),
            content_max_chars=_count(env, "ADEN_CONTENT_MAX_CHARS", 10_000_000, "a whole number"),
            meter_foreign=_switch(env, "ADEN_METER_FOREIGN_SPANS"),
            doctor=_switch(env, "ADEN_DOCTOR"),
            livekit_metrics=_switch(env, "ADEN_LIVEKIT_METRICS"),
            semconv_opt_in=_some_of(env, "ADEN_SEMCONV_OPT_IN", ("gen_ai_cost",)),
        )


@cache
def _say_unknown(name: str) -> None:
    """Once a process, which may read the environment several times."""
    hint = did_you_mean(name, VARIABLES)
    logger.warning("aden: %s is not a variable that Aden knows%s", name, hint)


def _text(env: Mapping[str, str], name: str) -> str | None:
    return env.get(name, "").strip() or None


def _one_of(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    value = _text(env, name)
    if value is not None and value not in allowed:
        raise ConfigurationError(name, value, " | ".join(allowed))
    return value


def _some_of(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> frozenset[str]:
    """Words, separated by commas, as in ``OTEL_SEMCONV_STABILITY_OPT_IN``."""
    value = _text(env, name) or ""
    words = frozenset(word.strip() for word in value.split(",") if word.strip())
    if not words <= set(allowed):
        raise ConfigurationError(name, value, "any of " + ", ".join(allowed))
    return words


def says_yes(text: str) -> bool:
    """Whether a switch is on; anything that is no clear yes is a no."""
    return text.strip().lower() in _TRUE


def _switch(env: Mapping[str, str], name: str) -> bool | None:
    value = _text(env, name)
    if value is None:
        return None
    if value.lower() not in _TRUE + _FALSE:
        raise ConfigurationError(name, value, "true | false")
    return says_yes(value)


def _count(env: Mapping[str, str], name: str, most: int, what: str) -> int | None:
    value = _text(env, name)
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or int(value) > most:
        raise ConfigurationError(name, value, f"{what} from 0 to {most}")
    return int(value)


def _seconds(env: Mapping[str, str], name: str) -> float | None:
    value = _text(env, name)
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise ConfigurationError(name, value, "seconds from 0 to 60")
    return seconds
