"""Aden: budgets, exact cost and OpenTelemetry for LLM voice agents.

Call `instrument` once in each worker process; every request to a model provider is then decided
by your budgets, metered and shown, without a change to the agent's code.
"""

from typing import TYPE_CHECKING

from aden.budgets.allowance import Allowance
from aden.budgets.budget import Budget
from aden.budgets.hooks import BeforeRequestContext, BeforeRequestResult
from aden.budgets.ladder import Alert, Degrade, Throttle
from aden.budgets.rule import Block, Rule
from aden.budgets.scope import ANY
from aden.core.attribution import Attribution, attribution
from aden.core.limit import requests, seconds, tokens
from aden.core.record import AlertEvent, CallRecord
from aden.emitters import create_console_emitter
from aden.errors import AdenError, ConfigurationError, RequestCancelledError
from aden.face import flush, instrument, uninstrument
from aden.options import MeterOptions

if TYPE_CHECKING:
    from aden.instrumentor import AdenInstrumentor as AdenInstrumentor

__all__ = [
    "ANY",
    "AdenError",
    "AdenInstrumentor",
    "Alert",
    "AlertEvent",
    "Allowance",
    "Attribution",
    "BeforeRequestContext",
    "BeforeRequestResult",
    "Block",
    "Budget",
    "CallRecord",
    "ConfigurationError",
    "Degrade",
    "MeterOptions",
    "RequestCancelledError",
    "Rule",
    "Throttle",
    "attribution",
    "create_console_emitter",
    "flush",
    "instrument",
    "requests",
    "seconds",
    "tokens",
    "uninstrument",
]


def __getattr__(name: str) -> object:
    if name == "AdenInstrumentor":  # OpenTelemetry's instrumentation package, only where wanted
        from aden.instrumentor import AdenInstrumentor

        return AdenInstrumentor
    if name == "__version__":
        from aden.runtime import aden_version

        return aden_version()
    raise AttributeError(f"module {__name__} has no attribute {name}")
