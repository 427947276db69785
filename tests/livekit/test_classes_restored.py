"""Uninstrumenting leaves LiveKit as it was."""

import importlib
from collections.abc import Callable
from typing import Any

import livekit.agents
import livekit.plugins.openai  # noqa: F401 - its classes are wrapped as well

import aden
from aden.instrumentation.livekit import LIVEKIT
from house import House


def attributes() -> dict[tuple[str, str], Any]:
    """Every patched attribute of what is imported, from its class or module itself."""
    found = {}
    for patch in LIVEKIT.table:
        *path, name = patch.name.split(".")
        try:
            owner: Any = importlib.import_module(patch.module)
        except ImportError:  # an extra that is not installed
            continue
        for part in path:
            owner = getattr(owner, part)
        found[patch.module, patch.name] = vars(owner)[name]
    return found


def test_each_class_is_restored_exactly(instrumented: Callable[..., House]) -> None:
    """The very objects that were there before, however often it is done."""
    before = attributes()
    assert len(before) > 5
    for _ in range(2):
        instrumented()
        now = attributes()
        assert [name for name in before if before[name] is now[name]] == []
        aden.AdenInstrumentor().uninstrument()
        now = attributes()
        assert [name for name in before if before[name] is not now[name]] == []
