"""What holds: what code says, else the environment, else the default."""

from aden.core.attribution import NOBODY
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
    wait = options.busy_wait_ms if options.busy_wait_ms is not None else settings.busy_wait_ms
    return GateOptions(
        fail_open=bool(fail_open),
        hook_timeout_ms=GateOptions().hook_timeout_ms if timeout is None else timeout,
        busy_wait_ms=wait,
        trust_request_metadata=options.trust_request_metadata,
        meter_foreign=settings.meter_foreign is not False,
        attribution=options.attribution or NOBODY,
    )


def content_options(options: MeterOptions, settings: Settings) -> ContentOptions:
    """What is done to content before anybody sees it."""
    chars = options.content_max_chars
    if chars is None:
        chars = settings.content_max_chars
    return ContentOptions(options.redact_content, MAX_CHARS if chars is None else chars)
