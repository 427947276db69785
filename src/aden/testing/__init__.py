"""Helpers for your own tests: a local OpenAI-compatible server with an exact bill.

The server needs no key and no network, answers the real ``openai`` SDK over a real socket, can be
scripted to fail in every way that a provider does, and says to the nano-dollar what it charged.
"""

from aden.testing.bill import Bill, BillItem
from aden.testing.control_server import ControlServer
from aden.testing.handler import SeenRequest
from aden.testing.openai_server import OpenAIServer
from aden.testing.recording import RecordingEmitter
from aden.testing.script import (
    Drop,
    ErrorEvent,
    Fail,
    Hang,
    Items,
    NoCap,
    Normal,
    NoUsage,
    Reason,
    Refuse,
    Status,
    Usage,
)

__all__ = [
    "Bill",
    "BillItem",
    "ControlServer",
    "Drop",
    "ErrorEvent",
    "Fail",
    "Hang",
    "Items",
    "NoCap",
    "NoUsage",
    "Normal",
    "OpenAIServer",
    "Reason",
    "RecordingEmitter",
    "Refuse",
    "SeenRequest",
    "Status",
    "Usage",
]
