"""Wrap and unwrap functions of classes by the same table.

Others wrap the same functions. Each wrapper is a link of a chain that ends at the original, so ours
is found, moved and taken out where it stands, and what others put above or below it stays.
"""

import importlib.util
import inspect
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

import wrapt

from aden.instrumentation import in_place
from aden.instrumentation.in_place import Wrapper

logger = logging.getLogger("aden.instrumentation")


@dataclass(frozen=True, slots=True)
class Patch:
    """One function to wrap: a module, the dotted name in it, the wrapper."""

    module: str
    name: str
    wrapper: Wrapper
    needs: tuple[str, ...] = ()
    """What else of the module the wrapper cannot do without, by dotted names."""
    part: str | None = None
    """A name of the module that some versions are known not to have: nothing is wrapped in them."""
    until: str | None = None
    """A module of later versions: where it can be imported, nothing is wrapped here."""
    in_place: bool = False
    """Whether ours is to be called also by who has taken the function out of its class before."""

    @property
    def applies(self) -> bool:
        """Whether this version of the library is one that it is for."""
        if self.part is not None and not has(self.module, self.part):
            return False
        return self.until is None or not _exists(self.until)

    @property
    def lacks(self) -> tuple[str, ...]:
        """Of all that, what this version of the library does not have."""
        wanted = dict.fromkeys((self.name, *self.needs))
        return tuple(name for name in wanted if not has(self.module, name))


class Patches:
    """Applies a table of patches, each when its module is imported, and takes them back.

    An SDK may import its parts when they are first used: no module stands for all.
    """

    def __init__(self, table: tuple[Patch, ...]) -> None:
        self.table = table
        self._wanted = False
        self._registered = False

    def apply(self) -> None:
        """Wrap what is imported now, and the rest as soon as it is."""
        self._wanted = True
        modules = dict.fromkeys(patch.module for patch in self.table)
        if self._registered:
            for module in modules:
                if module in sys.modules:
                    self._patch(module)
            return
        self._registered = True
        for module in modules:
            # Runs the hook at once where the module is there already.
            wrapt.register_post_import_hook(partial(self._on_import, module), module)

    def undo(self) -> None:
        """Take every wrapper out; bound copies pass through because no meter is active."""
        self._wanted = False
        for place in self._places():
            place.take_out()

    def rise(self) -> None:
        """Stand above what others have wrapped around ours meanwhile."""
        for place in self._places() if self._wanted else ():
            place.rise()

    def sink(self) -> None:
        """Stand below all others, some of whom take off whatever is on top when they leave."""
        for place in self._places() if self._wanted else ():
            place.sink()

    @property
    def in_force(self) -> Mapping[str, bool]:
        """Of what is imported by now, whether our wrapper stands there."""
        places = {f"{each.module}.{each.name}": _locate(each) for each in self._imported}
        return {name: bool(place and place.stands) for name, place in places.items()}

    @property
    def left_out(self) -> tuple[str, ...]:
        """Of what is imported by now, what is not wrapped since this version is another."""
        return tuple(f"{each.module}.{each.name}" for each in self._imported if each.lacks)

    @property
    def _imported(self) -> list[Patch]:
        return [each for each in self.table if each.module in sys.modules and each.applies]

    def _on_import(self, name: str, _module: Any) -> None:
        if self._wanted:
            self._patch(name)

    def _patch(self, module: str) -> None:
        lacking: dict[str, None] = {}
        for patch in self.table:
            if patch.module != module or not patch.applies:
                continue
            place = _locate(patch)
            if place is None or patch.lacks:
                lacking |= dict.fromkeys(patch.lacks)
            elif not place.stands:
                place.put()
        if lacking:
            logger.warning(
                "aden: this version's %s has no %s; what asks through it is not gated, or not"
                " metered in full: `aden doctor` lists it",
                module,
                ", ".join(lacking),
            )

    def _places(self) -> list["_Place | _InPlace"]:
        places = (_locate(patch) for patch in self._imported)
        return [place for place in places if place is not None and place.stands]


class _Place:
    """Where a patch stands: a class, an attribute of it, and the chain of wrappers in it."""

    def __init__(self, parent: Any, attribute: str, wrapper: Wrapper) -> None:
        self._parent = parent
        self._attribute = attribute
        self._wrapper = wrapper

    @property
    def chain(self) -> list[Any]:
        """From the outermost wrapper to the original, and what that one wraps itself."""
        # From the class itself: getattr would bind, and would find an inherited one.
        links = [_unbound(vars(self._parent)[self._attribute])]
        while (inner := getattr(links[-1], "__wrapped__", None)) is not None:
            links.append(_unbound(inner))
        return links

    @property
    def ours(self) -> int | None:
        """At which place in the chain we stand."""
        for index, link in enumerate(self.chain):
            if isinstance(link, wrapt.FunctionWrapper) and link._self_wrapper is self._wrapper:
                return index
        return None

    @property
    def stands(self) -> bool:
        return self.ours is not None

    def put(self) -> None:
        setattr(self._parent, self._attribute, wrapt.FunctionWrapper(self.chain[0], self._wrapper))

    def take_out(self) -> None:
        """Join what is above with what is below; a closure keeps us, and we pass calls through."""
        chain, index = self.chain, self.ours
        if index is not None and self._can_join(index):
            self._join(index, chain[index + 1])

    def rise(self) -> None:
        chain, index = self.chain, self.ours
        if index and self._can_join(index):
            self.put()
            # For a moment we stand there twice: one call inside another is one call.
            chain[index - 1].__wrapped__ = chain[index + 1]

    def sink(self) -> None:
        chain, index = self.chain, self.ours
        if index is None or not self._can_join(index):
            return
        below = index + 1
        while isinstance(chain[below], _PROXY):
            below += 1
        if below > index + 1:
            chain[below - 1].__wrapped__ = wrapt.FunctionWrapper(chain[below], self._wrapper)
            self._join(index, chain[index + 1])

    def _can_join(self, index: int) -> bool:
        return index == 0 or isinstance(self.chain[index - 1], _PROXY)

    def _join(self, index: int, below: Any) -> None:
        if index == 0:
            setattr(self._parent, self._attribute, below)
        else:
            self.chain[index - 1].__wrapped__ = below


class _InPlace:
    """A function that is wrapped in itself: others are above it, whoever comes or goes."""

    def __init__(self, function: FunctionType, wrapper: Wrapper) -> None:
        self._function = function
        self._wrapper = wrapper

    @property
    def stands(self) -> bool:
        return in_place.wrapper_of(self._function) is self._wrapper

    def put(self) -> None:
        in_place.wrap(self._function, self._wrapper)

    def take_out(self) -> None:
        in_place.unwrap(self._function)

    def rise(self) -> None:
        """Nothing moves it."""

    def sink(self) -> None:
        """It is below all others."""


_PROXY = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)  # the base class, since wrapt 2
"""Links whose inside can be exchanged; a plain closure's cannot."""


def _unbound(link: Any) -> Any:
    """A wrapper as it was made: OpenTelemetry's ``unwrap`` leaves it bound to no instance."""
    return link._self_parent if isinstance(link, wrapt.BoundFunctionWrapper) else link


def has(module: str, name: str) -> bool:
    """Whether a module has a name: ``Class.method``, or an attribute that a class's code uses."""
    *path, attribute = name.split(".")
    try:
        parent: Any = importlib.import_module(module)
        for each in path:
            parent = getattr(parent, each)
    except (ImportError, AttributeError):
        return False
    if not isinstance(parent, type):
        return hasattr(parent, attribute)
    return any(attribute in vars(cls) or attribute in _used_in(cls) for cls in parent.__mro__)


@lru_cache
def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # what it would be a part of
        return False


def _used_in(cls: type) -> set[str]:
    """The attributes that the methods of a class get or set: those of an instance among them."""
    functions = (inspect.unwrap(each) for each in vars(cls).values() if callable(each))
    codes = (getattr(function, "__code__", None) for function in functions)
    return {name for code in codes if code is not None for name in code.co_names}


def _locate(patch: Patch) -> _Place | _InPlace | None:
    *path, attribute = patch.name.split(".")
    try:
        parent: Any = importlib.import_module(patch.module)
        for name in path:
            parent = getattr(parent, name)
        vars(parent)[attribute]
    except (ImportError, AttributeError, KeyError):
        return None
    place = _Place(parent, attribute, patch.wrapper)
    if patch.in_place and (function := _in_itself(place.chain)) is not None:
        return _InPlace(function, patch.wrapper)
    return place


def _in_itself(chain: list[Any]) -> FunctionType | None:
    """What of a chain can be wrapped in place: the one that is, else the original.

    None where that is a closure of somebody who does not tell what it is around.
    """
    function = next((link for link in chain if in_place.wrapper_of(link)), chain[-1])
    return function if in_place.can_wrap(function) else None
