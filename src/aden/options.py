"""What a program tells Aden in code."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import get_args
from urllib.parse import urlsplit

from aden.budgets.budget import Budget, Mode
from aden.budgets.heard import HandOver, Message, OnRefusal, check_message, check_on_refusal
from aden.budgets.hooks import Hook
from aden.budgets.rule import Rule
from aden.core.attribution import Attribution
from aden.core.web import http_scheme
from aden.errors import ConfigurationError
from aden.metering.dispatch import AlertHandler, Emitter
from aden.telemetry.content import Redact


@dataclass(frozen=True, slots=True)
class MeterOptions:
    """Settings of `aden.instrument`. What is None comes from the environment, else the default.

    Attributes:
        api_key: Bearer key of an Aden server (``ADEN_API_KEY``).
        server_url: Base URL of that server (``ADEN_API_URL``).
        policy_id: Which of its policies holds (``ADEN_POLICY_ID``); else the team's default.
        emit_metric: Called with a `CallRecord` for each settled call, sync or async.
        on_alert: Called with an `AlertEvent`, sync or async.
        before_request: Asked before each request, sync or async; see `BeforeRequestResult`.
        budgets: Budgets in code; else the file that ``ADEN_BUDGETS`` names; else the Aden server's.
        rules: What happens to requests whatever budget they count against; see `Rule`.
        prices: Path of a TOML file with your own prices (``ADEN_PRICES``).
        ledger: Where spend is booked, ``memory:``, ``sqlite:///absolute/path``, ``redis://…`` or
            ``rediss://…`` (``ADEN_LEDGER``); with budgets the default is a file in the user's
            state directory.
        mode: ``enforce | observe | off`` (``ADEN_MODE``).
        fail_open: What cannot be evaluated (a hook that raises, a ledger that is overrun) lets
            requests through instead of refusing them (``ADEN_FAIL_OPEN``; default False). While a
            ledger is down, `Budget.on_ledger_down` counts before it.
        hook_timeout_ms: How long an async ``before_request`` may take (default 1000).
        busy_wait_ms: How long a request waits for a refund when only open requests fill a budget
            (default 0, in a LiveKit job 150).
        attribution: On whose account this process asks, where nothing closer says.
        trust_request_metadata: Let a request's own metadata override the operator's attribution.
        redact_content: Called with each text of a message that is to be captured; what it gives
            back is captured instead. Where it raises, that text is not captured.
        hook_in_thread: Run a sync ``before_request`` in a thread, where it blocks no event loop
            (``ADEN_HOOK_IN_THREAD``; default False); `hook_timeout_ms` then holds for it too.
        on_refusal: What becomes of a LiveKit agent's turn that is refused: ``say | raise |
            hand_over | close`` (``ADEN_ON_REFUSAL``; default ``say``); see docs/livekit.md.
        refusal_message: What is said then: a text, a `Line` with a sound file, or a function, sync
            or async, of the `RefusedTurn` that gives either (``ADEN_REFUSAL_MESSAGE``).
        hand_over: With ``on_refusal="hand_over"``, the function, sync or async, that is called with
            the `RefusedTurn`.
        filler_message: Said to a caller whom a throttle lets wait longer than 700 ms
            (``ADEN_FILLER_MESSAGE``; default: nothing is said).
        refuse_speech: A LiveKit session whose STT or TTS is refused does not start
            (``ADEN_REFUSE_SPEECH``; default False). What runs is never refused its speech.
        content_max_chars: Captured messages are cut to this many characters an attribute, the
            oldest first (``ADEN_CONTENT_MAX_CHARS``; default 65536).
    """

    api_key: str | None = field(default=None, repr=False)
    server_url: str | None = None
    policy_id: str | None = None
    emit_metric: Emitter | None = None
    on_alert: AlertHandler | None = None
    before_request: Hook | None = None
    budgets: Sequence[Budget] | None = None
    rules: Sequence[Rule] | None = None
    prices: str | None = None
    ledger: str | None = None
    mode: Mode | None = None
    fail_open: bool | None = None
    hook_timeout_ms: int | None = None
    busy_wait_ms: int | None = None
    attribution: Attribution | None = None
    trust_request_metadata: bool = False
    redact_content: Redact | None = None
    content_max_chars: int | None = None
    hook_in_thread: bool | None = None
    on_refusal: OnRefusal | None = None
    refusal_message: Message | None = None
    hand_over: HandOver | None = None
    filler_message: str | None = None
    refuse_speech: bool | None = None

    def __post_init__(self) -> None:
        for name, (types, allowed) in _TYPES.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, types):
                raise ConfigurationError(name, "***" if name == "api_key" else value, allowed)
        for name, allowed in _FUNCTIONS.items():
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ConfigurationError(name, value, allowed)
        self._check_values()
        check_server(self.server_url, self.api_key, "server_url")

    def _check_values(self) -> None:
        if self.mode not in (None, *get_args(Mode)):
            raise ConfigurationError("mode", self.mode, " | ".join(get_args(Mode)))
        for name in ("hook_timeout_ms", "busy_wait_ms"):
            value = getattr(self, name)
            if isinstance(value, bool) or (value is not None and not 0 <= value <= 60_000):
                raise ConfigurationError(name, value, _MILLISECONDS)
        chars = self.content_max_chars
        if isinstance(chars, bool) or (chars is not None and chars < 0):
            raise ConfigurationError("content_max_chars", chars, _CHARACTERS)
        if self.on_refusal is not None:
            check_on_refusal(self.on_refusal, "on_refusal")
        if self.refusal_message is not None:
            check_message(self.refusal_message, "refusal_message")


_CHARACTERS = "a number of characters, 0 or more"
_FUNCTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("emit_metric", "on_alert", "before_request", "hand_over"),
        "a function, sync or async, or None",
    ),
    "redact_content": "a function of a string, or None",
}
_MILLISECONDS = "milliseconds from 0 to 60000"
_TYPES: Mapping[str, tuple[type, str]] = {
    "api_key": (str, "a string"),
    "server_url": (str, "a string"),
    "policy_id": (str, "a string"),
    "prices": (str, "the path of a TOML file"),
    "ledger": (str, "a string such as sqlite:///absolute/path"),
    "budgets": (Sequence, "a list of Budget objects"),
    "rules": (Sequence, "a list of Rule objects"),
    "fail_open": (bool, "True or False"),
    "hook_in_thread": (bool, "True or False"),
    "filler_message": (str, "a string"),
    "refuse_speech": (bool, "True or False"),
    "trust_request_metadata": (bool, "True or False"),
    "hook_timeout_ms": (int, _MILLISECONDS),
    "busy_wait_ms": (int, _MILLISECONDS),
    "content_max_chars": (int, _CHARACTERS),
    "attribution": (Attribution, "an Attribution"),
}


OPTION_NAMES = tuple(each.name for each in fields(MeterOptions))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_secrets(url: str) -> str:
    """The URL without the user and password that it may carry."""
    before, at, after = str(url).rpartition("@")
    scheme = before.partition("://")[0] + "://" if "://" in before else ""
    return f"{scheme}***@{after}" if at else after


def check_server(url: str | None, key: str | None, setting: str) -> None:
    """Refuse a server URL that cannot work, or that would show the key to the network.

    Raises:
        ConfigurationError: The URL is no http(s) URL, or plain http to another host with a key.
    """
    if not url:
        return
    allowed = "a URL such as https://aden.example.com"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - raises where it is no port
    except (ValueError, AttributeError):
        raise ConfigurationError(setting, _without_secrets(url), allowed) from None
    scheme = http_scheme(parts.scheme)
    if scheme not in ("http", "https") or not host or " " in url:
        raise ConfigurationError(setting, _without_secrets(url), allowed)
    if key and scheme == "http" and not _is_loopback(host):
        allowed = "https: the key is not sent in the clear"
        raise ConfigurationError(setting, _without_secrets(url), allowed)
    if key and (not key.isascii() or not key.isprintable() or " " in key):
        name = "api_key" if setting == "server_url" else "ADEN_API_KEY"
        raise ConfigurationError(name, "***", "printable ASCII without spaces")
