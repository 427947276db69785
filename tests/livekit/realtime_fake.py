"""A realtime plugin of some other provider: it shows no wire, only LiveKit's own events."""

import asyncio
import time
import uuid
from typing import Any

from livekit import rtc
from livekit.agents import llm
from livekit.agents.metrics import RealtimeModelMetrics, STTMetrics
from livekit.agents.metrics.base import Metadata


class OtherModel(llm.RealtimeModel):
    """Answers with one word; its metrics are what the test says."""

    def __init__(
        self, *, detects_turns: bool = False, name: str = "gpt-realtime", says: bool = False
    ) -> None:
        super().__init__(
            capabilities=llm.RealtimeCapabilities(
                message_truncation=False,
                turn_detection=detects_turns,
                user_transcription=False,
                auto_tool_reply_generation=False,
                audio_output=False,
                manual_function_calls=False,
                mutable_chat_context=True,
                mutable_instructions=True,
                mutable_tools=True,
                supports_say=says,
            )
        )
        self._name = name
        self.made: list[OtherSession] = []

    @property
    def model(self) -> str:
        """As it is priced."""
        return self._name

    @property
    def provider(self) -> str:
        """As LiveKit shows it."""
        return "openai"

    def session(self, *, turn_detection_disabled: bool = False) -> "OtherSession":
        """A new one, which the test finds in `made`."""
        self.made.append(OtherSession(self))
        return self.made[-1]

    async def aclose(self) -> None:
        """Nothing to close."""


class OtherSession(llm.RealtimeSession[str]):
    """Keeps a conversation, and answers when it is asked, or when the test says so."""

    def __init__(self, model: OtherModel) -> None:
        super().__init__(model)
        self.asked = 0
        self.interrupted = 0
        self.fails: Exception | None = None
        self._chat_ctx = llm.ChatContext.empty()
        self._open: dict[str, Any] = {}

    @property
    def chat_ctx(self) -> llm.ChatContext:
        """What was said."""
        return self._chat_ctx

    @property
    def tools(self) -> llm.ToolContext:
        """None."""
        return llm.ToolContext.empty()

    async def update_instructions(self, instructions: str) -> None:
        """Nothing is kept."""

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        """As it is given."""
        self._chat_ctx = chat_ctx

    async def update_tools(self, tools: Any) -> None:
        """Nothing is kept."""

    def update_options(self, **_: Any) -> None:
        """Nothing is kept."""

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Nobody hears."""

    def push_video(self, frame: rtc.VideoFrame) -> None:
        """Nobody sees."""

    def generate_reply(self, **_: Any) -> "asyncio.Future[llm.GenerationCreatedEvent]":
        """Begins at once, or fails."""
        self.asked += 1
        future: asyncio.Future[llm.GenerationCreatedEvent] = asyncio.Future()
        if self.fails is not None:
            future.set_exception(self.fails)
        else:
            future.set_result(self.begin(user_initiated=True))
        return future

    def say(self, text: Any) -> "asyncio.Future[llm.GenerationCreatedEvent]":
        """What the model speaks word by word."""
        return self.generate_reply()

    def begin(self, *, user_initiated: bool = False) -> llm.GenerationCreatedEvent:
        """A reply of one word begins, and its text is there."""
        messages: Any = _Channel()
        calls: Any = _Channel()
        event = llm.GenerationCreatedEvent(
            messages, calls, user_initiated=user_initiated, response_id=f"r_{uuid.uuid4().hex}"
        )
        words: Any = _Channel("Hello.")
        modalities: asyncio.Future[Any] = asyncio.Future()
        modalities.set_result(["text"])
        messages.put(
            llm.MessageGeneration(str(event.response_id), words, _Channel(), modalities),
        )
        self.emit("generation_created", event)
        return event

    def tell(self, event: llm.GenerationCreatedEvent | None, **counted: Any) -> None:
        """The metrics of a reply."""
        response_id = event.response_id if event is not None else "unheard-of"
        self.emit("metrics_collected", metrics(str(response_id), self._realtime_model, **counted))

    def wrote(self, model: str, **counted: Any) -> None:
        """The metrics of a transcript that *model* wrote."""
        told: dict[str, Any] = {"request_id": "t_1", "duration": 0.0, "audio_duration": 0.0}
        written = STTMetrics(
            **told | counted,
            timestamp=time.time(),
            label="other",
            streamed=True,
            metadata=Metadata(model_name=model, model_provider="openai"),
        )
        self.emit("metrics_collected", written)

    def commit_audio(self) -> None:
        """Nothing is kept."""

    def clear_audio(self) -> None:
        """Nothing is kept."""

    def interrupt(self) -> None:
        """Count it."""
        self.interrupted += 1

    def truncate(self, **_: Any) -> None:
        """Nothing is kept."""

    async def aclose(self) -> None:
        """Nothing to close."""


class Relay(OtherSession):
    """An adapter of somebody's own: it asks and emits what another session does."""

    def __init__(self, model: OtherModel, inner: OtherSession) -> None:
        super().__init__(model)
        self._inner = inner
        for event in ("generation_created", "metrics_collected"):
            inner.on(event, self._emitter(event))

    def _emitter(self, event: str) -> Any:
        def forward(each: object) -> None:
            self.emit(event, each)

        return forward

    def generate_reply(self, **asked: Any) -> "asyncio.Future[llm.GenerationCreatedEvent]":
        """The inner one's."""
        return self._inner.generate_reply(**asked)


def metrics(request_id: str, model: Any, **counted: Any) -> RealtimeModelMetrics:
    """As plugins tell them; *counted* may hold what no provider counts."""
    told: dict[str, Any] = {
        "request_id": request_id,
        "timestamp": time.time(),
        "label": "other",
        "duration": 0.1,
        "ttft": 0.1,
        "cancelled": False,
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "tokens_per_second": 0,
        "input_token_details": RealtimeModelMetrics.InputTokenDetails(),
        "output_token_details": RealtimeModelMetrics.OutputTokenDetails(),
        "metadata": Metadata(model_name=model.model, model_provider=model.provider),
    }
    return RealtimeModelMetrics.model_construct(**told | counted)


class _Channel:
    """An async iterator of what was put into it."""

    def __init__(self, *items: Any) -> None:
        self._items = list(items)

    def put(self, item: Any) -> None:
        self._items.append(item)

    def __aiter__(self) -> "_Channel":
        return self

    async def __anext__(self) -> Any:
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop(0)
