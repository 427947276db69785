"""Answers of chat completions that no provider should give, and what they have to be booked as."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from wire import EVENTS, Body, events

REPORTED = (14, 12)
USAGE = {"prompt_tokens": 14, "completion_tokens": 12, "total_tokens": 26}
CAP = 40
"""Output tokens that the requests allow: what is booked where an answer cannot be read."""


@dataclass(frozen=True)
class Bad:
    """One answer."""

    name: str
    body: Body
    booked: tuple[int, int] | None = REPORTED
    """(input, output) tokens to be booked; None: an estimate of the input, and `output`."""
    output: int = CAP
    tells: str | None = None
    """The leg that counts it, where the SDK's own object is read."""
    raw_booked: tuple[int, int] | None = None
    """What its bytes tell beyond what the SDK reads of them."""
    raw_tells: str | None = None
    """The same where the caller reads the bytes."""


def chunk(content: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of a stream."""
    choices = [] if content is None else [{"index": 0, "delta": {"content": content}}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"} | {
        "choices": choices,
        **fields,
    }


def whole(**fields: Any) -> Body:
    """A plain answer."""
    message = {"role": "assistant", "content": "hi there"}
    answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Body.json(answer | {"choices": choices, "usage": USAGE} | fields)


HELLO = (chunk("hel"), chunk("lo"))
COUNTED = chunk(usage=USAGE)
SOUND = events([*HELLO, COUNTED])


def counted(usage: Any) -> Body:
    """A stream with a usage."""
    return Body.events(*HELLO, chunk(usage=usage))


def ending(*middle: Any) -> Body:
    """A stream with a good beginning and a good end."""
    return Body.events(HELLO[0], *middle, COUNTED)


def among(*choices: Any) -> Body:
    """A stream with odd choices in it."""
    return ending(chunk(choices=list(choices)))


def _of(content: bytes) -> Body:
    return Body.of(content, EVENTS)


NEGATIVE = {"prompt_tokens": -14, "completion_tokens": -12}
ABSURD = {"prompt_tokens": 10**30, "completion_tokens": 10**15}
STRINGS = {"prompt_tokens": "14", "completion_tokens": "x"}
FLOATS = {"prompt_tokens": 14.0, "completion_tokens": 12.0}
NESTED = {"prompt_tokens": {"a": [1]}, "completion_tokens": [12], "prompt_tokens_details": 5}
ODD_IDS = {"id": {"a": 1}, "model": ["m"], "service_tier": {"x": 1}, "system_fingerprint": 4}
TOO_DEEP = b"[" * 100_000 + b"]" * 100_000
NOT_COUNTS: tuple[tuple[str, Any], ...] = (
    ("negative", NEGATIVE),
    ("absurd", ABSURD),
    ("strings", STRINGS),
    ("a list", [1, 2]),
    ("a string", "junk"),
    ("nested junk", NESTED),
    ("null", None),
    ("empty", {}),
)

STREAMS = (
    Bad("sound", _of(SOUND)),
    Bad("CRLF", _of(SOUND.replace(b"\n", b"\r\n"))),
    Bad("CR", _of(SOUND.replace(b"\n", b"\r"))),
    Bad("a byte order mark", _of(b"\xef\xbb\xbf" + SOUND)),
    Bad("in small pieces", Body.of(SOUND, EVENTS, size=7)),
    Bad("comments", Body.events(b": ping\n\n", *HELLO, b": x\n", COUNTED)),
    Bad("no blank lines", _of(SOUND.replace(b"\n\n", b"\n")), None, tells="usage",
        raw_booked=REPORTED),
    Bad("wrong event names", _of(SOUND.replace(b"data:", b"event: strange\ndata:"))),
    Bad("wrong fields", _of(SOUND.replace(b"data:", b"datum:")), None, tells="usage"),
    Bad("data in several lines", _of(SOUND.replace(b', "choices"', b',\ndata: "choices"'))),
    Bad("garbled JSON", ending(b'data: {"id": \n\n'), None, 1, raw_booked=REPORTED,
        raw_tells="reader"),
    Bad("cut in an event", _of(SOUND[: len(SOUND) * 2 // 3]), None, 2, tells="usage",
        raw_tells="reader"),
    Bad("no UTF-8", ending(b'data: "\xff\xfe"\n\n'), None, 1, raw_booked=REPORTED,
        raw_tells="reader"),
    Bad("nested too deeply", ending(b"data: " + TOO_DEEP + b"\n\n"), None, 1, raw_booked=REPORTED,
        raw_tells="reader"),
    Bad("no last word", Body.events(*HELLO, COUNTED, done=False)),
    Bad("events that are no object", ending(None, 5, "x", [], [1], {})),
    Bad("choices that are no list", ending(chunk(choices=5), chunk(choices=None))),
    Bad("odd choices", among(5, None, "x", [], {"delta": 5}, {"delta": {"tool_calls": 5}})),
    Bad("odd tool calls", among({"delta": {"tool_calls": [5, None, {"function": 3}]}})),
    Bad("odd finish reason", among({"index": 0, "delta": {}, "finish_reason": {"a": 1}})),
    Bad("an unknown event", ending({"type": "mystery", "x": 1})),
    Bad("usage twice", Body.events(*HELLO, COUNTED, COUNTED, COUNTED)),
    Bad("usage in each", Body.events(
        chunk("hel", usage=USAGE | {"completion_tokens": 1}),
        chunk("lo", usage=USAGE | {"completion_tokens": 2}),
        COUNTED,
    )),
    Bad("half a usage after a whole one", Body.events(
        *HELLO, COUNTED, chunk(usage={"prompt_tokens": 14}),
    )),
    Bad("usage in floats", counted(FLOATS)),
    Bad("usage of zero", counted({"prompt_tokens": 0, "completion_tokens": 0}), (0, 0)),
    Bad("subsets larger than their totals", counted(
        USAGE | {"prompt_tokens_details": {"cached_tokens": 5000, "audio_tokens": 900},
                 "completion_tokens_details": {"reasoning_tokens": 999}})),
    Bad("no usage", Body.events(*HELLO), None, 2, tells="usage"),
    *(Bad(f"usage: {name}", counted(usage), None, 2, tells="usage") for name, usage in NOT_COUNTS),
    Bad("odd ids", Body.events(*(each | ODD_IDS for each in (*HELLO, COUNTED)))),
    Bad("a model of 10 kB", Body.events(*(each | {"model": "m" * 10_000} for each in HELLO),
        COUNTED)),
    Bad("5 MB in one chunk", Body.events(chunk("x" * 5_000_000), COUNTED)),
    Bad("nothing", _of(b""), None, tells="usage"),
    Bad("HTML", Body.of(b"<html>oops</html>", "text/html"), None, tells="usage"),
    Bad("a plain answer", whole(), None, tells="usage"),
    Bad("an error", Body.events(HELLO[0], {"error": {"message": "bad"}}), None, 1),
    Bad("an error that is a string", Body.events(HELLO[0], {"error": "bad"}), None, 1),
)  # fmt: skip

PLAIN = (
    Bad("sound", whole()),
    Bad("cut", Body.of(whole().pieces[0][:120]), None, raw_tells="reader"),
    Bad("cut on the way", Body((whole().pieces[0][:100],), promised=1000), None),
    Bad("no UTF-8", Body.of(b'{"id":"\xe9"}'), None, raw_tells="reader"),
    Bad("empty", Body.of(b""), None, raw_tells="reader"),
    Bad("nested too deeply", Body.of(TOO_DEEP), None, raw_tells="reader"),
    *(
        Bad(f"no answer: {json.dumps(value)}", Body.json(value), None, tells="usage")
        for value in (None, 5, "x", [1], {}, {"error": {"message": "bad"}})
    ),
    Bad("HTML", Body.of(b"<html>", "text/html"), None, tells="usage"),
    *(
        Bad(f"usage: {name}", whole(usage=usage), None, 2, tells="usage")
        for name, usage in NOT_COUNTS
    ),
    Bad("usage in floats", whole(usage=FLOATS)),
    Bad("choices that are no list", whole(choices=5)),
    Bad("no choices and no usage", whole(choices=None, usage=None), None, tells="usage"),
    Bad("odd choices", whole(choices=[5, None, "x", {"message": 5}, {"message": {"content": [5]}}],
        usage=USAGE)),
    Bad("odd ids", whole(**ODD_IDS)),
    Bad("a byte order mark", Body.of(b"\xef\xbb\xbf" + whole().pieces[0])),
)  # fmt: skip
