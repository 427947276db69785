"""The zero-code launch: ``opentelemetry-instrument python agent.py``.

Nothing here raises: OpenTelemetry swallows what does, and the application would run ungated. What
is heavy waits until the process imports something that makes requests.
"""

import importlib
import logging
import os
import sys
from typing import Any

import wrapt
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from aden.errors import ConfigurationError
from aden.instrumentor import AdenInstrumentor

logger = logging.getLogger("aden")

DEFAULTS = {
    "OTEL_PYTHON_CONFIGURATOR": "aden",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}
"""What `AdenDistro` sets where the environment says nothing."""
TRIGGERS = ("openai", "livekit.agents")
"""Modules whose import puts the gate in force."""
_HELPERS = (
    "from multiprocessing.forkserver import",
    "from multiprocessing.resource_tracker import",
)
"""How Python starts processes that serve others and run no code of the application."""


class AdenDistro(BaseDistro):  # type: ignore[misc]
    """Sets defaults of OpenTelemetry's own variables, nothing else."""

    def _configure(self, **kwargs: Any) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)


class AdenConfigurator:
    """Builds the providers, where there is anything to send; `AutoInstrumentor` uses them."""

    def configure(self, **kwargs: Any) -> None:
        """Called by OpenTelemetry's auto-instrumentation, before the instrumentors."""
        if is_helper():
            return
        try:
            if os.environ.get("OTEL_CONFIG_FILE"):
                _configure_from_file()
            else:
                _set_up()
        except ConfigurationError as error:
            logger.error("aden: %s", error)
        except Exception:
            logger.exception("aden: telemetry could not be set up, nothing is exported")


class AutoInstrumentor(AdenInstrumentor):
    """`AdenInstrumentor` for a launch in which nobody can read an exception."""

    def _instrument(self, **kwargs: Any) -> None:
        if is_helper():  # the children that it forks do run the application
            _follow_into_children()
        else:
            _await_triggers()


def is_helper() -> bool:
    """Whether this process is multiprocessing's fork server or resource tracker."""
    return any(helper in argument for argument in sys.orig_argv for helper in _HELPERS)


def _follow_into_children() -> None:
    if hasattr(os, "register_at_fork"):
        # Handlers run in the order of their registration: a thread pool's lock, which the fork
        # takes, must be free again before ours, for which OpenTelemetry starts such a pool.
        importlib.import_module("concurrent.futures.thread")
        os.register_at_fork(after_in_child=_set_up_in_child)


def _set_up_in_child() -> None:
    try:
        _set_up()
        _await_triggers()
    except Exception:
        logger.exception("aden: a forked process could not be set up")


def _await_triggers() -> None:
    """Start when a trigger is imported: at once where it is already."""
    for trigger in TRIGGERS:
        wrapt.register_post_import_hook(_start, trigger)


def _start(_module: object) -> None:
    from aden.options import MeterOptions
    from aden.runtime import current_runtime, start_quietly

    runtime = current_runtime()
    if runtime is None or runtime.pid != os.getpid():  # else the application was faster
        start_quietly(MeterOptions())


def _set_up() -> None:
    """The providers of this process, where there is anything to send."""
    from aden.otel.destinations import destinations

    server = os.environ.get("ADEN_API_URL") if os.environ.get("ADEN_API_KEY") else None
    if not destinations(os.environ, server):
        return
    from aden.options import check_server
    from aden.otel.providers import set_up
    from aden.settings import Settings

    settings = Settings.from_env(os.environ)
    check_server(settings.api_url, settings.api_key, "ADEN_API_URL")
    set_up(settings.api_url, settings.api_key, livekit_metrics=bool(settings.livekit_metrics))


def _configure_from_file() -> None:
    """OpenTelemetry's declarative configuration; the gate attaches to what it made."""
    from opentelemetry.sdk._configuration import _OTelSDKConfigurator

    class Configurator(_OTelSDKConfigurator):
        """The SDK's own, which is made to be subclassed."""

    Configurator().configure()  # type: ignore[no-untyped-call]
