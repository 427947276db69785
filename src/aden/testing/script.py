"""How the local OpenAI-compatible server can be told to misbehave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Normal:
    """Answer as if nothing had been scripted."""


@dataclass(frozen=True, slots=True)
class Status:
    """Refuse with an HTTP status; nothing is billed."""

    code: int
    """The HTTP status code."""
    retry_after_s: float | None = None
    """Sent as ``retry-after`` (seconds) and ``retry-after-ms``."""
    message: str = "The server was told to refuse this request."
    """The error's ``message``."""
    code_name: str | None = None
    """The error's ``code``, such as ``"rate_limit_exceeded"``."""

    def headers(self) -> dict[str, str]:
        """Return the headers that tell the client when to come back."""
        if self.retry_after_s is None:
            return {}
        milliseconds = str(round(self.retry_after_s * 1000))
        return {"retry_after": f"{self.retry_after_s:g}", "retry_after_ms": milliseconds}


@dataclass(frozen=True, slots=True)
class Hang:
    """Bill the whole answer at once, then begin to send it only after a while."""

    seconds: float
    """Silence before the first byte, in seconds."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Stop generating and close the connection; a plain answer is never begun."""

    after_tokens: int
    """Visible output tokens before that; they are billed."""


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Stop generating and send an error inside the stream; a plain request gets status 500."""

    after_tokens: int
    """Visible output tokens before that; they are billed."""
    message: str = "The server had an error while processing your request. Sorry about that!"
    """The error's ``message``."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Stop generating and say that the response failed; only the Responses API can say so.

    Chat completions send an ``ErrorEvent`` instead.
    """

    after_tokens: int
    """Visible output tokens before that; they are billed, and no usage is reported."""
    code: str = "server_error"
    """The error's ``code``."""
    message: str = "The model failed to generate a response."
    """The error's ``message``."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with a refusal of the model's own, in the words of an ordinary answer."""


@dataclass(frozen=True, slots=True)
class Items:
    """Answer, and add output items after the words; only the Responses API has such."""

    items: tuple[Mapping[str, object], ...]
    """As they stand in ``output``."""


@dataclass(frozen=True, slots=True)
class NoCap:
    """Answer as long as the question wants it, whatever cap the request sets."""


@dataclass(frozen=True, slots=True)
class NoUsage:
    """Answer in full, bill it, and never report a usage."""


@dataclass(frozen=True, slots=True, init=False)
class Usage:
    """Answer in full, bill it truly, and report another usage.

    Keywords replace fields of the usage object (``prompt_tokens=0``); a mapping is merged into
    the details of that name (``prompt_tokens_details={"cached_tokens": 7}``).
    """

    overrides: Mapping[str, object]

    def __init__(self, **overrides: object) -> None:
        object.__setattr__(self, "overrides", overrides)

    def applied_to(self, usage: Mapping[str, object]) -> dict[str, object]:
        """Return *usage* with the overrides in it."""
        merged = dict(usage)
        for name, value in self.overrides.items():
            old = merged.get(name)
            both = isinstance(old, dict) and isinstance(value, dict)
            merged[name] = {**old, **value} if both else value  # type: ignore[dict-item]
        return merged


@dataclass(frozen=True, slots=True)
class Reason:
    """Spend hidden reasoning tokens, whatever the model."""

    tokens: int
    """Reasoning tokens of each choice."""


Step: TypeAlias = (
    Normal
    | Status
    | Hang
    | Drop
    | ErrorEvent
    | Fail
    | Refuse
    | Items
    | NoCap
    | NoUsage
    | Usage
    | Reason
)
"""What happens to one request."""


def error_json(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, object]:
    """Return an error in OpenAI's shape."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if status == 429:
        kind = "insufficient_quota" if code == "insufficient_quota" else "requests"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
