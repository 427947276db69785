"""Wrap and unwrap functions of classes by the same table."""

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wrapt

logger = logging.getLogger("aden.instrumentation")

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """One function to wrap: a module, the dotted name in it, the wrapper."""

    module: str
    name: str
    wrapper: Wrapper


class Patches:
    """Applies a table of patches when its library is imported, and takes them back."""

    def __init__(self, trigger: str, table: tuple[Patch, ...]) -> None:
        self.trigger = trigger
        self.table = table
        self._applied: list[tuple[Any, str, Any]] = []
        self._wanted = False
        self._registered = False

    def apply(self) -> None:
        """Wrap now if the library is imported, else as soon as it is."""
        self._wanted = True
        if not self._registered:
            self._registered = True
            # Runs the hook at once where the module is there already.
            wrapt.register_post_import_hook(self._on_import, self.trigger)
        elif not self._applied:
            self._on_import_if_loaded()

    def undo(self) -> None:
        """Put every original back; bound copies pass through because no meter is active."""
        self._wanted = False
        while self._applied:
            parent, attribute, original = self._applied.pop()
            setattr(parent, attribute, original)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names that this version of the library does not have."""
        return tuple(f"{p.module}.{p.name}" for p in self.table if _locate(p) is None)

    def _on_import_if_loaded(self) -> None:
        import sys

        if self.trigger in sys.modules:
            self._on_import(None)

    def _on_import(self, _module: Any) -> None:
        if not self._wanted or self._applied:
            return
        for patch in self.table:
            found = _locate(patch)
            if found is None:
                logger.warning(
                    "aden: %s.%s does not exist in this version; requests through it are not gated",
                    patch.module,
                    patch.name,
                )
                continue
            parent, attribute, original = found
            setattr(parent, attribute, wrapt.FunctionWrapper(original, patch.wrapper))
            self._applied.append((parent, attribute, original))


def _locate(patch: Patch) -> tuple[Any, str, Any] | None:
    *path, attribute = patch.name.split(".")
    try:
        parent: Any = importlib.import_module(patch.module)
        for name in path:
            parent = getattr(parent, name)
        # From the class itself: getattr would bind, and would find an inherited one.
        original = vars(parent)[attribute]
    except (ImportError, AttributeError, KeyError):
        return None
    return parent, attribute, original
