"""Aden: budgets, exact cost and OpenTelemetry for LLM voice agents.

Call `instrument` once in each worker process; every request to a model provider is then decided
by your budgets, metered and shown, without a change to the agent's code.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aden.budgets.allowance import Allowance as Allowance
    from aden.budgets.budget import Budget as Budget
    from aden.budgets.hooks import BeforeRequestContext as BeforeRequestContext
    from aden.budgets.hooks import BeforeRequestResult as BeforeRequestResult
    from aden.budgets.ladder import Alert as Alert
    from aden.budgets.ladder import Degrade as Degrade
    from aden.budgets.ladder import Throttle as Throttle
    from aden.budgets.rule import Block as Block
    from aden.budgets.rule import Rule as Rule
    from aden.budgets.scope import ANY as ANY
    from aden.core.attribution import Attribution as Attribution
    from aden.core.attribution import attribution as attribution
    from aden.core.limit import requests as requests
    from aden.core.limit import seconds as seconds
    from aden.core.limit import tokens as tokens
    from aden.core.record import AlertEvent as AlertEvent
    from aden.core.record import CallRecord as CallRecord
    from aden.emitters import create_console_emitter as create_console_emitter
    from aden.errors import AdenError as AdenError
    from aden.errors import ConfigurationError as ConfigurationError
    from aden.errors import RequestCancelledError as RequestCancelledError
    from aden.face import flush as flush
    from aden.face import instrument as instrument
    from aden.face import uninstrument as uninstrument
    from aden.instrumentor import AdenInstrumentor as AdenInstrumentor
    from aden.options import MeterOptions as MeterOptions
    from aden.pricing.override import priced as priced

_HOME = {
    "ANY": "aden.budgets.scope",
    "AdenError": "aden.errors",
    "AdenInstrumentor": "aden.instrumentor",
    "Alert": "aden.budgets.ladder",
    "AlertEvent": "aden.core.record",
    "Allowance": "aden.budgets.allowance",
    "Attribution": "aden.core.attribution",
    "BeforeRequestContext": "aden.budgets.hooks",
    "BeforeRequestResult": "aden.budgets.hooks",
    "Block": "aden.budgets.rule",
    "Budget": "aden.budgets.budget",
    "CallRecord": "aden.core.record",
    "ConfigurationError": "aden.errors",
    "Degrade": "aden.budgets.ladder",
    "MeterOptions": "aden.options",
    "RequestCancelledError": "aden.errors",
    "Rule": "aden.budgets.rule",
    "Throttle": "aden.budgets.ladder",
    "attribution": "aden.core.attribution",
    "create_console_emitter": "aden.emitters",
    "flush": "aden.face",
    "instrument": "aden.face",
    "priced": "aden.pricing.override",
    "requests": "aden.core.limit",
    "seconds": "aden.core.limit",
    "tokens": "aden.core.limit",
    "uninstrument": "aden.face",
}
"""Every public name, imported when it is first used: a process that only launches pays nothing."""

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in ("livekit", "testing"):
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name == "__version__":
        from aden.version import aden_version

        return aden_version()
    raise AttributeError(f"module {__name__} has no attribute {name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
