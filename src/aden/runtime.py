"""The one runtime that is in force in this process."""

import logging
import os
import threading

from aden.composition import Runtime, compose, compose_misconfigured
from aden.core.forks import call_in_children
from aden.errors import ConfigurationError
from aden.instrumentation.active import set_active_meter
from aden.instrumentation.livekit import LIVEKIT
from aden.instrumentation.livekit.providers import adopt_tracer_provider
from aden.instrumentation.neighbours import NEIGHBOURS
from aden.instrumentation.openai import OPENAI
from aden.options import MeterOptions
from aden.otel.arguments import OTelArguments
from aden.otel.exit import arm
from aden.settings import Settings, says_yes
from aden.telemetry.budget_gauge import watch_budgets

logger = logging.getLogger("aden")

PATCHES = (OPENAI, LIVEKIT, NEIGHBOURS)

_lock = threading.Lock()
_runtime: Runtime | None = None


def current_runtime() -> Runtime | None:
    """What is in force."""
    return _runtime


def start(options: MeterOptions, otel: OTelArguments | None = None) -> Runtime:
    """Put *options* in force; a second call replaces the first, whole.

    Raises:
        ConfigurationError: A setting is wrong. Nothing has changed then.
    """
    global _runtime  # noqa: PLW0603 - the composition root holds the one instance
    with _lock:
        settings = Settings.from_env(os.environ)
        old = _runtime if _runtime is not None and _runtime.pid == os.getpid() else None
        otel = (otel or OTelArguments()).over(old.otel if old else None)
        _runtime = compose(options, settings, otel, old)
        _put_in_force(_runtime, doctor=bool(settings.doctor))
        if old is not None:
            old.meter.reserver.repeats.report()
            if old.control is not None and old.control is not _runtime.control:
                old.control.flush(_runtime.flush_timeout_s)
                old.control.stop()
        return _runtime


def start_misconfigured(error: ConfigurationError) -> None:
    """Arm the gate although it could not be set up: it refuses, or with fail_open lets through."""
    global _runtime  # noqa: PLW0603
    fail_open = says_yes(os.environ.get("ADEN_FAIL_OPEN", ""))
    with _lock:
        _runtime = compose_misconfigured(error, fail_open=fail_open)
        _put_in_force(_runtime, doctor=says_yes(os.environ.get("ADEN_DOCTOR", "")))


def start_quietly(options: MeterOptions) -> None:
    """`start` for launchers that must not fail: what is wrong arms the gate as ``misconfigured``.

    The gate then refuses every request, or with ``ADEN_FAIL_OPEN=true`` lets it through.
    """
    try:
        start(options)
    except ConfigurationError as error:
        logger.error("aden: %s", error)
        start_misconfigured(error)
    except Exception as error:
        logger.exception("aden: the gate could not be set up")
        start_misconfigured(ConfigurationError("aden", str(error), "a working set-up"))


def stop() -> None:
    """Take everything back: wrapped functions, the meter in force."""
    global _runtime  # noqa: PLW0603
    with _lock:
        set_active_meter(None)
        for patches in PATCHES:
            patches.undo()
        if _runtime is not None:
            _runtime.flush()
            watch_budgets(None)
            if _runtime.control is not None:
                _runtime.control.stop()
            _runtime.meter.ledger.close()
            _runtime.providers.shutdown()
        _runtime = None


def _put_in_force(runtime: Runtime, *, doctor: bool) -> None:
    runtime.meter.flush = runtime.flush
    set_active_meter(runtime.meter)
    watch_budgets(runtime.meter.reserver.fill)
    for patches in PATCHES:
        patches.apply()
    if runtime.providers.tracer_is_ours:
        adopt_tracer_provider(runtime.providers.tracer)
    arm(_end_current)
    if doctor:
        from aden.doctor.worker import say_once

        say_once(runtime.subject())


def _unlock() -> None:
    """In a forked child: a thread of the parent may have held the lock."""
    global _lock  # noqa: PLW0603 - a lock is replaced, never reset
    _lock = threading.Lock()


call_in_children(_unlock)


def _end_current() -> None:
    if _runtime is not None:
        _runtime.end()
