"""What holds: what code says, else the environment, else the default."""

from typing import cast

from aden.budgets.heard import Heard, OnRefusal
from aden.budgets.hooks import Hook, SyncHook, in_thread
from aden.core.attribution import NOBODY
from aden.metering.dispatch import is_async
from aden.metering.gate_options import GateOptions
from aden.options import MeterOptions
from aden.settings import Settings
from aden.telemetry.content import MAX_CHARS, ContentOptions


def gate_options(options: MeterOptions, settings: Settings) -> GateOptions:
    """How the gate behaves where something is in its way."""
    fail_open = options.fail_open if options.fail_open is not None else settings.fail_open
    timeout = options.hook_timeout_ms
    if timeout is None:
        timeout = settings.hook_timeout_ms
    speech = options.refuse_speech
    if speech is None:
        speech = settings.refuse_speech
    wait = options.busy_wait_ms if options.busy_wait_ms is not None else settings.busy_wait_ms
    return GateOptions(
        fail_open=bool(fail_open),
        hook_timeout_ms=GateOptions().hook_timeout_ms if timeout is None else timeout,
        busy_wait_ms=wait,
        refuse_speech=bool(speech),
        trust_request_metadata=options.trust_request_metadata,
        meter_foreign=settings.meter_foreign is not False,
        attribution=options.attribution or NOBODY,
        heard=_heard(options, settings),
    )


def hook(options: MeterOptions, settings: Settings) -> Hook | None:
    """The program's hook, as it is to be asked."""
    given = options.before_request
    threaded = options.hook_in_thread
    if threaded is None:
        threaded = bool(settings.hook_in_thread)
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
    chars = options.content_max_chars
    if chars is None:
        chars = settings.content_max_chars
    return ContentOptions(options.redact_content, MAX_CHARS if chars is None else chars)
