"""What the installed SDK can send, and how each of it is treated; no request is made."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from aden.instrumentation.openai.paths import BILLING_VERBS, Standing, path_of

Treatment = Standing | Literal["not gated"]

_VERBS = {f"_{verb}": verb for verb in ("get", "post", "put", "patch", "delete")}
_LIST = "_get_api_list"
_SOCKETS = ("connect",)
"""Methods that open a WebSocket: nothing of it goes through the client's request method."""
_GATED_SOCKETS = {
    "responses.connect": "each response that is asked for",
    "realtime.connect": "each response that is asked for",
    "beta.responses.connect": "each response that is asked for",
    "beta.realtime.connect": "each response that is asked for",
    "realtime.translations.connect": "the session, by the audio that is sent",
    "live.connect": "the session, by its time, and what its backends are asked",
    "live.forks.connect": "the session, by its time, and what its backends are asked",
    "live.sideband.connect": "what its backends are asked; the session is booked by its time",
}


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the SDK's resources that sends something."""

    name: str
    """Under the client: ``chat.completions.create``."""
    verb: str
    """``post``, ``get`` … or ``websocket``."""
    path: str
    treatment: Treatment
    reason: str = ""
    listed: bool = True
    """False where the path is in no table."""


def endpoints_of_installed_sdk() -> tuple[Method, ...]:
    """Every method of the installed SDK that sends, in the order of the SDK's resources.

    Helpers that call other methods, such as ``create_and_poll``, are what these are.

    Raises:
        ImportError: The SDK is not installed.
    """
    import openai

    client = openai.OpenAI(api_key="none", admin_api_key="none", base_url="http://localhost:1")
    try:
        return tuple(_methods(client, ""))
    finally:
        client.close()


def _methods(owner: Any, prefix: str) -> Iterator[Method]:
    from openai._resource import SyncAPIResource

    for attribute in dir(type(owner)):
        if attribute.startswith(("_", "with_")):
            continue
        found = inspect.getattr_static(type(owner), attribute)
        if isinstance(found, cached_property | property):
            resource = getattr(owner, attribute, None)
            if isinstance(resource, SyncAPIResource):
                yield from _methods(resource, f"{prefix}{attribute}.")
        elif prefix and callable(found) and (method := _read(prefix + attribute, found)):
            yield method


def _read(name: str, function: Any) -> Method | None:
    """By the names and texts in its code: which of the client's verbs it calls with which path."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    if name.rpartition(".")[2] in _SOCKETS:
        if name in _GATED_SOCKETS:
            return Method(name, "websocket", "", "gated", _GATED_SOCKETS[name])
        return Method(name, "websocket", "", "not gated", "opens a session of its own kind")
    called = [verb for verb in code.co_names if verb in _VERBS or verb == _LIST]
    paths = [each for each in code.co_consts if isinstance(each, str) and each.startswith("/")]
    if not called or not paths:
        return None
    verb = _VERBS.get(called[0]) or next(
        (each for each in BILLING_VERBS if each in code.co_consts), "get"
    )
    if verb not in BILLING_VERBS:
        return Method(name, verb, paths[0], "free", f"a {verb.upper()} bills nothing")
    path = path_of(paths[0])
    return Method(name, verb, paths[0], path.standing, path.reason, path.listed)
