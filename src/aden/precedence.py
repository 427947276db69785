"""What holds: what code says, else the environment, else the default."""

from typing import TypeVar, cast

from aden.budgets.heard import Heard, OnRefusal
from aden.budgets.hooks import Hook, SyncHook, in_thread
from aden.core.attribution import NOBODY
from aden.metering.dispatch import is_async
from aden.metering.gate_options import GateOptions
from aden.options import MeterOptions
from aden.settings import Settings
from aden.telemetry.content import MAX_CHARS, ContentOptions

T = TypeVar("T")


def gate_options(options: MeterOptions, settings: Settings) -> GateOptions:
    """How the gate behaves where something is in its way."""
    default = GateOptions()
    timeout_ms = _said(options.hook_timeout_ms, settings.hook_timeout_ms)
    return GateOptions(
        fail_open=_said(options.fail_open, settings.fail_open) or default.fail_open,
        hook_timeout_ms=default.hook_timeout_ms if timeout_ms is None else timeout_ms,
        busy_wait_ms=_said(options.busy_wait_ms, settings.busy_wait_ms),
        refuse_speech=_said(options.refuse_speech, settings.refuse_speech) or default.refuse_speech,
        trust_request_metadata=options.trust_request_metadata,
        meter_foreign=settings.meter_foreign is not False,
        attribution=options.attribution or NOBODY,
        heard=_heard(options, settings),
    )


def hook(options: MeterOptions, settings: Settings) -> Hook | None:
    """The program's hook, as it is to be asked."""
    given = options.before_request
    threaded = _said(options.hook_in_thread, settings.hook_in_thread)
    if given is None or not threaded or is_async(given):
        return given
    return in_thread(cast("SyncHook", given))


def _heard(options: MeterOptions, settings: Settings) -> Heard:
    default = Heard()
    said = options.on_refusal or cast("OnRefusal | None", settings.on_refusal)
    return Heard(
        said or default.on_refusal,
        options.refusal_message or settings.refusal_message or default.refusal_message,
        options.hand_over,
        options.filler_message or settings.filler_message,
    )


def content_options(options: MeterOptions, settings: Settings) -> ContentOptions:
    """What is done to content before anybody sees it."""
    chars = _said(options.content_max_chars, settings.content_max_chars)
    return ContentOptions(options.redact_content, MAX_CHARS if chars is None else chars)


def _said(in_code: T | None, in_environment: T | None) -> T | None:
    return in_environment if in_code is None else in_code
