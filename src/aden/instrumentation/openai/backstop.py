"""The SDK client's own request method: what bills and no typed wrapper has in hand is gated here.

Under the resources stands one method through which each request goes, also those of bound methods
and raw-response wrappers that were taken before `instrument`, of ``client.post``, and of resources
that the SDK adds later.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aden.instrumentation.active import active_meter
from aden.instrumentation.aside import unfollowed
from aden.instrumentation.openai.attempts import Sending, current_sending
from aden.instrumentation.openai.create import aperform, perform
from aden.instrumentation.openai.endpoint import Endpoint
from aden.instrumentation.openai.paths import BILLING_VERBS, path_of
from aden.instrumentation.openai.unlisted import unlisted
from aden.instrumentation.told import read_json
from aden.metering.meter import Meter

_BODY, _HEADERS = "extra_body", "extra_headers"


def request(wrapped: Callable[..., Any], client: Any, args: Any, kwargs: Any) -> Any:
    """``SyncAPIClient.request``."""
    if (sending := current_sending.get()) is not None:  # a wrapper above has it in hand
        return sending.answers(wrapped(*args, **kwargs))
    meter = active_meter()
    if meter is None or (held := _hold(meter, wrapped, client, args, kwargs)) is None:
        return wrapped(*args, **kwargs)
    return perform(meter, held.endpoint, client, held.send, held.body, lowest=True)


def arequest(wrapped: Callable[..., Any], client: Any, args: Any, kwargs: Any) -> Any:
    """``AsyncAPIClient.request``; gives a coroutine, as that does."""
    if (sending := current_sending.get()) is not None:  # a wrapper above has it in hand
        return _answers(sending, wrapped(*args, **kwargs))
    meter = active_meter()
    if meter is None or (held := _hold(meter, wrapped, client, args, kwargs)) is None:
        return wrapped(*args, **kwargs)
    return aperform(meter, held.endpoint, client, held.send, held.body, lowest=True)


async def _answers(sending: Sending, answer: Awaitable[Any]) -> Any:
    return sending.answers(await answer)


@dataclass(frozen=True, slots=True)
class _Held:
    """A request that has to be gated here."""

    wrapped: Callable[..., Any]
    args: tuple[Any, ...]
    """What follows the options."""
    kwargs: dict[str, Any]
    cast_to: Any
    options: Any
    endpoint: Endpoint
    body: dict[str, Any]
    """What a resource's method would have been called with."""
    files: frozenset[str]
    """Which of that is no JSON."""

    def send(self, /, **sent: Any) -> Any | Awaitable[Any]:
        """Send the request with *sent* in place of `body`."""
        options = self.options
        try:
            same = sent.keys() == self.body.keys()
            if not same or any(value is not self.body[name] for name, value in sent.items()):
                options = _with_body(options, sent, self.files)
        except Exception as error:  # then it goes as it was asked
            unfollowed(error)
        return self.wrapped(self.cast_to, options, *self.args, **self.kwargs)


def _hold(meter: Meter, wrapped: Any, client: Any, args: Any, kwargs: Any) -> _Held | None:
    """The request, where it may bill. Never raises."""
    try:
        named: list[Any] = [kwargs[name] for name in _NAMES[len(args) :]]
        cast_to, options, *rest = list(args) + named
        if options.method.lower() not in BILLING_VERBS:
            return None
        path = path_of(options.url, getattr(client, "base_url", None))
        if path.standing == "free":
            return None
        endpoint = path.endpoint
        if endpoint is None:
            name = f"{options.method.upper()} {path.template}"
            endpoint = unlisted(name)
            meter.complaints.unlisted(name)
        left = {name: value for name, value in kwargs.items() if name not in _NAMES}
        files = _files(options.files)
        body = {**_body(options), **files}
        return _Held(wrapped, tuple(rest), left, cast_to, options, endpoint, body, frozenset(files))
    except Exception:
        meter.cannot("description", "a request of the client could not be read", trace=True)
        return None


_NAMES = ("cast_to", "options")


def _body(options: Any) -> dict[str, Any]:
    """The request's parameters under the names that the resources' methods have for them."""
    body = options.json_data
    content = getattr(options, "content", None)
    if body is None and isinstance(content, bytes | bytearray):  # else it is read once
        body = read_json(content)
    found = {str(name): value for name, value in body.items()} if _is_mapping(body) else {}
    if _is_mapping(options.extra_json):
        found[_BODY] = options.extra_json
    if _is_mapping(options.headers):
        found[_HEADERS] = options.headers
    return found


def _files(files: Any) -> dict[str, Any]:
    """The uploads by their names; a name that is given several times has a list."""
    found: dict[str, Any] = {}
    for key, file in files.items() if _is_mapping(files) else files or ():
        name = str(key)
        if name.endswith("[]"):
            found.setdefault(name[:-2], []).append(file)
        else:
            found[name] = file
    return found


def _with_body(options: Any, sent: Mapping[str, Any], apart: frozenset[str]) -> Any:
    """A copy of the SDK's options; the retries of the client copy it again."""
    copy = options.model_copy()
    apart |= {_BODY, _HEADERS}
    copy.json_data = {name: value for name, value in sent.items() if name not in apart}
    copy.extra_json = sent.get(_BODY)
    if getattr(copy, "content", None) is not None:
        copy.content = None  # it is what the body was read from
    return copy


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)
