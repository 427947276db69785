"""What was said in a call, where OpenTelemetry's own variables ask for it: spans, events, the hook.

The variables are read as ``opentelemetry-util-genai`` 1.3b0 reads them: the mode is one of
`MODES`, in any case; anything else is refused with a line in the log, and nothing is captured.
Messages are that package's own values, so that its completion hooks understand them; it is imported
only where something is captured.
"""

import json
import logging
import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

from aden.telemetry import names
from aden.telemetry.attributes import Value
from aden.telemetry.characters import whole
from aden.telemetry.quiet import quietly

logger = logging.getLogger("aden.telemetry")

Mode = Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"]
MODES: tuple[str, ...] = get_args(Mode)
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
EMIT_EVENT = "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"
COMPLETION_HOOK = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"

MAX_CHARS = 65_536
"""Default of `ContentOptions.max_chars`."""
UNREDACTED = "[not captured: redact_content failed]"

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ContentOptions:
    """What is done to content before anybody sees it."""

    redact: Redact | None = None
    """Asked about each text; what it gives back is captured instead."""
    max_chars: int = MAX_CHARS
    """Characters of text on one attribute; the newest messages come first."""


DEFAULTS = ContentOptions()


@dataclass(slots=True)
class Content:
    """The messages of one call, as util-genai's values."""

    inputs: Sequence[Any] = ()
    system: Sequence[Any] = ()
    tools: Sequence[Any] = ()
    outputs: Callable[[], Sequence[Any]] = tuple
    """Asked once, at the end: until then a stream only piles up what arrives."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What may be captured: redacted, and cut to size."""

    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    system: list[Any] = field(default_factory=list)
    tools: list[Any] = field(default_factory=list)
    cut: bool = False

    def attributes(self, show: Callable[[list[Any]], Any]) -> dict[str, Any]:
        """By the conventions' names; *show* makes an attribute's value of a list of messages."""
        given = {
            names.INPUT_MESSAGES: self.inputs,
            names.OUTPUT_MESSAGES: self.outputs,
            names.SYSTEM_INSTRUCTIONS: self.system,
            names.TOOL_DEFINITIONS: self.tools,
        }
        shown = {name: show(items) for name, items in given.items() if items}
        return {**shown, names.CONTENT_TRUNCATED: True} if self.cut else shown


def read_mode(environment: Mapping[str, str], *, says: bool = False) -> Mode:
    """Where content is to be captured; a value that is none of `MODES` means nowhere.

    *says*: point such a value out. Two parts of a process read it, and one of them says so.
    """
    value = environment.get(CAPTURE, "").strip()
    if not value:
        return "NO_CONTENT"
    if value.upper() in MODES:
        return cast("Mode", value.upper())
    if says:
        logger.warning(
            "aden: %s=%r is none of %s; no content is captured", CAPTURE, value, ", ".join(MODES)
        )
    return "NO_CONTENT"


def emits_events(environment: Mapping[str, str], mode: Mode) -> bool:
    """Whether each call is also told as an event; by default where content is to be on it."""
    value = environment.get(EMIT_EVENT, "").strip().lower()
    if value in ("true", "false"):
        return value == "true"
    if value:
        logger.warning("aden: %s=%r is neither true nor false; it is ignored", EMIT_EVENT, value)
    return mode in ("EVENT_ONLY", "SPAN_AND_EVENT")


class Capture:
    """How content and events leave this process; made where any of that is wanted."""

    def __init__(
        self,
        mode: Mode,
        options: ContentOptions,
        event_logger: Any = None,
        hook: Any = None,
    ) -> None:
        self._mode = mode
        self._options = options
        self._logger = event_logger
        self._hook = hook

    @property
    def wants_content(self) -> bool:
        """Whether messages are to be gathered at all."""
        return self._mode != "NO_CONTENT" or self._hook is not None

    def prepare(self, content: Content | None) -> Prepared:
        """Redact and cut the content of a call."""
        prepared: list[Prepared] = []
        if content is not None:
            quietly(lambda: prepared.append(self._prepared(content)))
        return prepared[0] if prepared else Prepared()

    def _prepared(self, content: Content) -> Prepared:
        cleaner = _Cleaner(self._options)
        lists = {
            "inputs": cleaner.clean(content.inputs),
            "outputs": cleaner.clean(content.outputs()),
            "system": cleaner.clean(content.system),
            "tools": cleaner.clean(content.tools),
        }
        return Prepared(**lists, cut=cleaner.cut)

    def on_span(self, prepared: Prepared) -> dict[str, Value]:
        """Attributes of a span: JSON."""
        if self._mode not in ("SPAN_ONLY", "SPAN_AND_EVENT"):
            return {}
        return prepared.attributes(lambda items: _json([asdict(each) for each in items]))

    def tell(
        self, prepared: Prepared, attributes: Mapping[str, Value], span: Any, context: Any
    ) -> None:
        """Call the completion hook and emit the event, in this order: the hook may add to it."""
        record = None
        if self._logger is not None:
            record = self._event(prepared, attributes, context)
        if self._hook is not None:
            quietly(
                lambda: self._hook.on_completion(
                    inputs=prepared.inputs,
                    outputs=prepared.outputs,
                    system_instruction=prepared.system,
                    tool_definitions=prepared.tools or None,
                    span=span,
                    log_record=record,
                )
            )
        if self._logger is not None:
            self._logger.emit(record)

    def _event(self, prepared: Prepared, attributes: Mapping[str, Value], context: Any) -> Any:
        from opentelemetry._logs import LogRecord

        content: dict[str, Any] = {}
        if self._mode in ("EVENT_ONLY", "SPAN_AND_EVENT"):
            content = prepared.attributes(lambda items: [asdict(each) for each in items])
        return LogRecord(
            event_name=names.EVENT_DETAILS, attributes={**attributes, **content}, context=context
        )


def make_capture(
    logger_provider: Any, hook: Any, options: ContentOptions, scope: tuple[str, str, str]
) -> Capture | None:
    """As the environment says; None where nothing is captured and no event is emitted.

    Args:
        logger_provider: Where events go; None: the global one.
        hook: A completion hook of util-genai's; None: the one that its variable names.
        options: What is done to content.
        scope: Name, version and schema URL of what emits.
    """
    mode = read_mode(os.environ, says=True)
    if hook is None and os.environ.get(COMPLETION_HOOK):
        from opentelemetry.util.genai.completion_hook import (
            _NoOpCompletionHook,
            load_completion_hook,
        )

        hook = load_completion_hook()
        hook = None if isinstance(hook, _NoOpCompletionHook) else hook
    event_logger = None
    if emits_events(os.environ, mode):
        from opentelemetry._logs import get_logger

        name, version, schema_url = scope
        event_logger = get_logger(name, version, logger_provider, schema_url)
    if mode == "NO_CONTENT" and hook is None and event_logger is None:
        return None
    return Capture(mode, options, event_logger, hook)


class _Cleaner:
    """Goes once through the messages of a call and redacts and cuts their texts."""

    _NOT_SAID = frozenset({"type", "role", "finish_reason", "modality", "mime_type", "id"})
    """Fields whose values are the conventions' words, not what anybody said."""

    def __init__(self, options: ContentOptions) -> None:
        self._options = options
        self._left = options.max_chars
        self.cut = False

    def clean(self, messages: Sequence[Any]) -> list[Any]:
        """Copies of *messages*, for one attribute."""
        self._left = self._options.max_chars
        return [self._value(each) for each in reversed(messages)][::-1]

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._word(key): self._value(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(each) for each in value]
        if hasattr(value, "__dataclass_fields__"):
            fields = {
                name: each if name in self._NOT_SAID else self._value(each)
                for name, each in vars(value).items()
            }
            return type(value)(**fields)
        return self._word(value)

    def _word(self, value: Any) -> Any:
        """A number or a key in a tool's arguments: a telephone number may be one."""
        if self._options.redact is None or isinstance(value, bool):
            return value
        if not isinstance(value, str | int | float):
            return value
        said = str(value)
        kept = _redacted(self._options.redact, said)
        return value if kept == said else kept

    def _text(self, text: str) -> str:
        if self._options.redact is not None:
            text = _redacted(self._options.redact, text)
        text = whole(text)
        if len(text) <= self._left:
            self._left -= len(text)
            return text
        self.cut = True
        kept, self._left = text[: self._left], 0
        return f"{kept}… [truncated, {len(text)} characters]"


def _redacted(redact: Redact, text: str) -> str:
    try:
        return str(redact(text))
    except Exception:
        logger.exception("aden: redact_content failed; the text is not captured")
        return UNREDACTED


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)
