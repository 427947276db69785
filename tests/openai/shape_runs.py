"""Runs each shape of a call bare, instrumented, and under each decision, and says what happened."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import response_shapes
import shapes
from endpoint_shapes import ROWS, Row
from lanes import Lane
from more_shapes import ENDINGS, Ending
from opentelemetry import trace
from response_table import RESPONSE_SHAPES
from shape_table import SHAPES, Shape

import aden
from aden.testing import OpenAIServer, Status
from house import House

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aden.core.record import CallRecord

ASKED, CHEAPER = "gpt-4o", "gpt-4o-mini"
KINDS = ("sync", "async")
DECIDED = tuple(
    shape
    for shape in SHAPES + RESPONSE_SHAPES
    if shape.error is None and not shape.steps and shape.end != "abandoned"
)
"""Shapes under which a decision is made; how the server or the program ends them is beside it."""


@dataclass(frozen=True)
class Way:
    """A line of the page: a shape of chat or responses, an endpoint by a way, an ending."""

    name: str
    shape: Shape | None = None
    row: Row | None = None
    way: str = "create"
    ending: Ending | None = None

    @property
    def setting(self) -> Shape | Ending | None:
        """What says how the server behaves."""
        return self.shape or self.ending

    @property
    def kinds(self) -> tuple[str, ...]:
        """The clients that it is run by."""
        return KINDS[1:] if self.setting is not None and self.setting.only_async else KINDS

    def lane(self, kind: str, server: OpenAIServer) -> Lane:
        """A client for it."""
        options: dict[str, Any] = {}
        if self.setting is not None:
            options["timeout"] = self.setting.timeout_s
        if self.ending is not None and self.ending.socket:
            options["websocket_base_url"] = server.websocket_base_url
        return Lane(kind, server, **options)

    async def saw(self, lane: Lane) -> Any:
        """What a program sees: a value or an exception."""
        try:
            if self.setting is not None:
                return await self.setting.use(lane)
            assert self.row is not None
            return await self.row.use(lane, self.way)
        except BaseException as error:
            chain = type(error.__cause__), getattr(error, "status_code", None)
            return "raised", type(error), str(error), chain, getattr(error, "body", None)


WAYS = (
    *(Way(f"chat: {shape.name}", shape) for shape in SHAPES),
    *(Way(shape.name, shape) for shape in RESPONSE_SHAPES),
    *(Way(f"{row.name}, {way}", row=row, way=way) for row in ROWS for way in row.ways),
    *(Way(ending.name, ending=ending) for ending in ENDINGS),
)
"""Every shape of a call."""


@dataclass(frozen=True)
class Facts:
    """What one run came to."""

    same: str
    calls: str
    spans: str
    tokens: str
    charge: str
    status: str


@contextlib.contextmanager
def running(setting: Shape | Ending | None) -> Iterator[OpenAIServer]:
    """A server as slow as it has to be."""
    interval = 0 if setting is None else setting.interval_ms
    with OpenAIServer(ttft_ms=1, token_interval_ms=interval) as server:
        yield server


@contextlib.contextmanager
def instrumented(server: OpenAIServer, **options: Any) -> Iterator[House]:
    """This process, instrumented."""
    try:
        yield House(server).start(**options)
    finally:
        aden.AdenInstrumentor().uninstrument()
        aden.uninstrument()


async def outcome(way: Way, kind: str, server: OpenAIServer) -> Any:
    """What a program sees by a client of its own."""
    if way.setting is not None:
        server.script(*way.setting.steps)
    lane = way.lane(kind, server)
    try:
        return await way.saw(lane)
    finally:
        await lane.close()
        server.wait_idle()


async def facts(way: Way, kind: str) -> Facts:
    """Run it bare and instrumented."""
    with running(way.setting) as server:
        bare = await outcome(way, kind, server)
        server.bill = type(server.bill)()
        with instrumented(server) as house:
            ours = await outcome(way, kind, server)
            aden.flush(5)
            records = house.calls.records
            spans = [each for each in house.spans if each.kind is trace.SpanKind.CLIENT]
            left = len(house.open_spans.names)
        (record, *_), (span, *_) = records, spans
        failed = (span.attributes or {}).get("error.type")
        return Facts(
            "yes" if ours == bare else "NO",
            str(len(records)),
            f"{len(spans)} and {left} open" if left else str(len(spans)),
            _tokens(record),
            _charge(record, server.bill.total_nano_usd),
            str(failed or span.status.status_code.name.lower())
            + (f", {record.stream_end}" if record.stream_end else ""),
        )


def _tokens(record: CallRecord) -> str:
    usage = record.usage
    if usage.estimated:
        return "estimated"
    units = {
        "characters": usage.characters,
        "seconds": usage.audio_input_ms or usage.session_ms,
        "images": usage.images,
    }
    if usage.input_tokens is None and usage.output_tokens is None:
        return next((name for name, count in units.items() if count), "none")
    return "exact"


def _charge(record: CallRecord, billed: int) -> str:
    if record.cost == billed:
        return "equal"
    return "above" if record.cost > billed else "below"


@contextlib.contextmanager
def asking(model: str) -> Iterator[None]:
    """All shapes ask *model*."""
    ours = (shapes.REQUEST, shapes.STREAM, shapes.ASKED)
    requests = (*ours, response_shapes.REQUEST, response_shapes.STREAM, response_shapes.CALL)
    for request in requests:
        request["model"] = model
    try:
        yield
    finally:
        for request in requests:
            request["model"] = ASKED


async def decided(shape: Shape, kind: str) -> dict[str, str]:
    """What becomes of it where it is refused, degraded, throttled, and degraded in vain."""
    way = Way(shape.name, shape)
    with running(shape) as server:
        bare = {ASKED: await outcome(way, kind, server)}
        with asking(CHEAPER):
            bare[CHEAPER] = await outcome(way, kind, server)
        found = {"refused": await _refused(way, kind, server)}
        for name, model, answer in (
            ("degraded", CHEAPER, aden.BeforeRequestResult.degrade(CHEAPER)),
            ("throttled", ASKED, aden.BeforeRequestResult.throttle(delay_ms=1)),
        ):
            before = len(server.requests)
            with instrumented(server, before_request=lambda *_, said=answer: said) as house:
                ours = await outcome(way, kind, server)
                record, span = house.one_call()
            sent = [(seen.body or {}).get("model") for seen in server.requests[before:]]
            named = sent == [record.model] == [model] and span.name == f"chat {model}"
            same = ours == bare[model]
            found[name] = "same value" if same and named else f"NO: {span.name}, {ours!r:.300}"
        found["degrade refused"] = await _fallen_back(way, kind, server, bare[ASKED])
        return found


async def _fallen_back(way: Way, kind: str, server: OpenAIServer, bare: Any) -> str:
    before = len(server.requests)
    server.script(Status(400, message=f"The model `{CHEAPER}` does not exist"))
    degrade = aden.BeforeRequestResult.degrade(CHEAPER)
    with instrumented(server, before_request=lambda *_: degrade) as house:
        ours = await outcome(way, kind, server)
        record, _ = house.one_call()
    sent = [(seen.body or {}).get("model") for seen in server.requests[before:]]
    right = sent == [CHEAPER, ASKED] and record.model == ASKED and record.attempts == len(sent)
    return "asked model sent, same value" if right and ours == bare else f"NO: {sent} {ours!r:.200}"


async def _refused(way: Way, kind: str, server: OpenAIServer) -> str:
    before = len(server.requests)
    with instrumented(server, budgets=[aden.Budget("all", "0")]) as house:
        saw = await outcome(way, kind, server)
        (record,) = house.settled()
    raised = isinstance(saw, tuple) and saw[0] == "raised"
    if not raised or not issubclass(saw[1], aden.RequestCancelledError):
        return f"NO: {saw!r:.80}"
    sent = len(server.requests) - before
    return "raised, nothing sent" if sent == record.cost == 0 else f"NO: {sent} sent"
