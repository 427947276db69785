"""Which endpoints of the API bill a request, by path.

Only a ``POST``, ``PUT`` or ``PATCH`` can bill. A path that no line below matches is backstopped:
what the API adds later is a request of unknown price, not a hole.

Source: https://developers.openai.com/api/docs/pricing, November 2026.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from aden.instrumentation.openai import (
    chat,
    completions,
    embeddings,
    images,
    responses,
    speech,
    transcripts,
)
from aden.instrumentation.openai.endpoint import Endpoint

Standing = Literal["gated", "backstopped", "free"]

BILLING_VERBS = ("post", "put", "patch")

GATED: Mapping[str, Endpoint] = {
    "/chat/completions": chat.ENDPOINT,
    "/responses": responses.ENDPOINT,
    "/responses/compact": responses.ENDPOINT,
    "/completions": completions.ENDPOINT,
    "/embeddings": embeddings.ENDPOINT,
    "/images/generations": images.ENDPOINT,
    "/images/edits": images.ENDPOINT,
    "/images/variations": images.ENDPOINT,
    "/audio/speech": speech.ENDPOINT,
    "/audio/transcriptions": transcripts.ENDPOINT,
    "/audio/translations": transcripts.ENDPOINT,
}
"""What it bills for is known: usage is read and priced."""

BACKSTOPPED: Mapping[str, str] = {
    "/decisions": "a model call; read as far as its usage is told",
    "/batches": "bills when the batch has run, by its lines",
    "/fine_tuning/jobs": "bills the tokens of the training",
    "/fine_tuning/alpha/graders/run": "may ask a model",
    "/evals/*/runs": "asks models, sample by sample",
    "/threads/runs": "a model works until the run ends",
    "/threads/*/runs": "a model works until the run ends",
    "/threads/*/runs/*/submit_tool_outputs": "the run's model works on",
    "/videos": "bills by the second of video",
    "/videos/edits": "bills by the second of video",
    "/videos/extensions": "bills by the second of video",
    "/videos/*/remix": "bills by the second of video",
    "/videos/characters": "no price is published",
    "/containers": "bills by the session",
    "/realtime/calls": "begins a session that bills by its responses",
    "/realtime/calls/*/accept": "begins a session that bills by its responses",
    "/live/sessions": "begins a session that bills by its time",
    "/live/sessions/*/accept": "begins a session that bills by its time",
    "/live/sessions/*/fork": "begins a session that bills by its time",
    "/agents/sessions": "an agent's models work in it",
    "/agents/sessions/*/events": "an agent's models work on it",
    "/agents/automations/*/invocations": "an agent's models work on it",
    "/agents/environments": "no price is published",
    "/audio/voices": "no price is published",
    "/content_provenance_checks": "no price is published",
}
"""What it bills for is not told by request and answer, or not read yet."""

FREE: Mapping[str, str] = {
    "/moderations": "free of charge",
    "/models/**": "no model runs",
    "/responses/input_tokens": "counts, no model runs",
    "/responses/*/cancel": "ends what was counted when it was created",
    "/chat/completions/*": "changes metadata",
    "/files/**": "no price for a file",
    "/uploads/**": "no price for a file",
    "/vector_stores/**": "storage bills by the day; a search of its own has no price",
    "/containers/**": "counted when the container was created",
    "/conversations/**": "keeps items, no model runs",
    "/assistants/**": "keeps settings, no model runs",
    "/threads/**": "keeps messages, no model runs",
    "/batches/*/cancel": "ends what was counted when it was created",
    "/fine_tuning/jobs/**": "counted when the job was created",
    "/fine_tuning/checkpoints/**": "rights only",
    "/fine_tuning/alpha/graders/validate": "no model runs",
    "/evals": "keeps settings, no model runs",
    "/evals/*": "keeps settings, no model runs",
    "/evals/*/runs/*/cancel": "ends what was counted when it was created",
    "/realtime/**": "makes or ends a session's credentials; what its bearer does bills there",
    "/live/sessions/**": "ends or moves a session that was counted when it began",
    "/chatkit/**": "makes or ends a session's credentials; what its bearer does bills there",
    "/agents/**": "keeps settings, no model runs",
    "/vaults/**": "keeps secrets",
    "/skills/**": "keeps files",
    "/audio/voice_consents/**": "keeps recordings",
    "/webhook_endpoints/**": "keeps settings",
    "/organization/**": "administration",
    "/projects/**": "administration",
}
"""Requests that cost nothing, and why."""


@dataclass(frozen=True, slots=True)
class Path:
    """One endpoint of the API, and how a request to it is treated."""

    template: str
    """The line of the tables that it matched, or the path with its ids taken out."""
    standing: Standing
    reason: str = ""
    endpoint: Endpoint | None = None
    """Of a gated path."""
    listed: bool = True
    """False where no line matched."""


def path_of(url: str, base: Any = None) -> Path:
    """The path that a request goes to.

    Args:
        url: As the SDK's client is given it: relative to its base URL, or absolute.
        base: The base URL.
    """
    path = urlsplit(url).path
    if "://" in url:
        root = str(getattr(base, "path", "") or "").rstrip("/")
        path = path.removeprefix(root) if root else path
    return _classify("/" + path.strip("/"))


_PREFIX = re.compile(r"^(/openai)?(/v\d+)?(/deployments/[^/]+)?(?=/)")
"""Azure and clients whose base URL ends early have these in front of the path."""


@functools.lru_cache(maxsize=1024)
def _classify(path: str) -> Path:
    path = _PREFIX.sub("", path)
    if path in GATED:
        return Path(path, "gated", endpoint=GATED[path])
    for pattern, reason in BACKSTOPPED.items():
        if _matches(pattern, path):
            return Path(pattern, "backstopped", reason)
    for pattern, reason in FREE.items():
        if _matches(pattern, path):
            return Path(pattern, "free", reason)
    return Path(_template(path), "backstopped", "not known to this version", listed=False)


def _matches(pattern: str, path: str) -> bool:
    """``*`` is one segment, ``/**`` at the end whatever follows, nothing included."""
    head, rest, _ = pattern.partition("/**")
    wanted, given = head.split("/"), path.split("/")
    if rest:
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        want in ("*", have) for want, have in zip(wanted, given, strict=True)
    )


_ID = re.compile(r".*\d.*|.{25,}")
MAX_SEGMENTS = 6


def _template(path: str) -> str:
    """The path without what looks like an id, so that names made of it stay few."""
    segments = path.split("/")[1 : MAX_SEGMENTS + 1]
    return "/" + "/".join("*" if _ID.fullmatch(each) else each for each in segments)
