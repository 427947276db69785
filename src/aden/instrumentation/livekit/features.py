"""What we use of LiveKit that it keeps private, by what it is used for.

A new release may move any of it. Then the feature stays out, whole, and what holds without it is
said by the doctor; a test names what has moved as soon as the release is installed.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from aden.instrumentation.livekit import (
    above,
    console,
    decisions,
    job,
    live,
    llm,
    node,
    realtime,
    realtime_span,
    speech_at_start,
    stt,
    tts,
    user_turn,
    who,
)
from aden.instrumentation.patches import Patch, has

_LLM = "livekit.agents.llm.llm"
_VOICE = "livekit.agents.voice"
_FALLBACK = "livekit.agents.llm.fallback_adapter"
_TTS = "livekit.agents.tts.tts"
_STT = "livekit.agents.stt.stt"
_TRACES = "livekit.agents.telemetry.traces"
_REALTIME = "livekit.agents.llm.realtime"


@dataclass(frozen=True, slots=True)
class Feature:
    """Wrappers that stand or fall together."""

    name: str
    without: str
    """What holds where a name has moved."""
    patches: tuple[Patch, ...] = ()
    uses: tuple[tuple[str, str], ...] = ()
    """Names that are looked for each time, by module; without one, a part is missing."""

    @property
    def lacks(self) -> tuple[str, ...]:
        """The names that this LiveKit does not have; it is imported for that."""
        wrapped = [(each.module, name) for each in self.patches for name in each.lacks]
        used = [each for each in self.uses if not has(*each)]
        return tuple(dict.fromkeys(f"{module}.{name}" for module, name in (*wrapped, *used)))


def _of(cls: str, names: str) -> tuple[str, ...]:
    return tuple(f"{cls}.{name}" for name in names.split())


_LLM_NEEDS = _of(
    "LLMStream",
    "__init__ _main_task _run _llm _event_ch _emit_error _llm_request_span _genai_operation_name "
    "_current_attempt_has_error",
)
_CHUNKED = _of(
    "ChunkedStream",
    "__init__ _main_task _run _event_ch _emit_error _tts_request_span _tts_attempt_span_name",
)
_SYNTHESIZE = _of(
    "SynthesizeStream",
    "__init__ _main_task _run _event_ch _emit_error _tts_request_span _tts_attempt_span_name",
)
_RECOGNIZE = _of("RecognizeStream", "_main_task _event_ch _emit_error _stt")

LLM = Feature(
    "LLM requests",
    "gated where a plugin uses the openai SDK; of other plugins metered by LiveKit's spans",
    (
        Patch(_LLM, "LLMStream.__init__", llm.made, _LLM_NEEDS),
        Patch(_LLM, "LLMStream._main_task", llm.main_task, _LLM_NEEDS),
        Patch(_LLM, "LLMStream._metrics_monitor_task", llm.monitor, _LLM_NEEDS),
        Patch(_LLM, "LLMStream._emit_error", above.emit_error, _LLM_NEEDS),
    ),
)
FEATURES = (
    LLM,
    Feature(
        "what a refused caller hears",
        "a refusal raises, and the caller hears nothing",
        (
            Patch(f"{_VOICE}.generation", "_llm_inference_task", node.inference),
            Patch(f"{_VOICE}.agent_activity", "AgentActivity._tts_task", node.said),
        ),
        (
            (f"{_VOICE}.speech_handle", "SpeechHandle._wait_for_scheduled"),
            (f"{_VOICE}.speech_handle", "SpeechHandle._error"),
            ("livekit.agents.job", "JobContext._primary_agent_session"),
        ),
    ),
    Feature(
        "refusals in LiveKit's console",
        "a refused turn ends `python agent.py console --text`",
        (
            Patch(
                "livekit.agents.cli._legacy",
                "AgentsConsole.acquire_io",
                console.acquire_io,
                ("AgentsConsole._io_context",),
            ),
            Patch(f"{_VOICE}.agent_session", "AgentSession.run", console.run),
        ),
    ),
    Feature(
        "requests while the agent speaks",
        "what a tts_node asks an LLM may be refused, and the caller hears nothing",
        (
            Patch(f"{_VOICE}.generation", "_tts_inference_task", tts.node),
            Patch(f"{_VOICE}.generation", "_text_forwarding_task", tts.node),
        ),
    ),
    Feature(
        "requests while the agent listens",
        "what an stt_node asks an LLM may be refused, and the agent goes deaf",
        (
            Patch(
                f"{_VOICE}.audio_recognition",
                "_STTPipeline._stt_pump",
                stt.node,
                ("_STTPipeline._stt_node",),
            ),
        ),
    ),
    Feature(
        "refusals before an answer",
        "a request of on_user_turn_completed, or on_enter, that is refused leaves the caller in "
        "silence",
        (
            Patch(
                f"{_VOICE}.agent_activity",
                "AgentActivity._user_turn_completed_task",
                user_turn.completed,
            ),
            Patch(
                f"{_VOICE}.agent_activity",
                "AgentActivity._create_speech_task",
                user_turn.speech_task,
            ),
        ),
    ),
    Feature(
        "LLM fallback",
        "LiveKit asks a refused model again in the background, and is refused again",
        (
            Patch(
                _FALLBACK,
                "FallbackLLMStream._try_recovery",
                above.try_recovery,
                (
                    "FallbackLLMStream._fallback_adapter",
                    "FallbackAdapter._llm_instances",
                    "FallbackAdapter._status",
                ),
            ),
            Patch(_FALLBACK, "FallbackLLMStream._metrics_monitor_task", llm.monitor),
        ),
    ),
    Feature(
        "decision models",
        "gated where a plugin uses the openai SDK",
        (
            Patch(
                "livekit.agents.llm.decisions",
                "DecisionModel.evaluate",
                decisions.evaluate,
                ("DecisionModel._evaluate_impl",),
            ),
        ),
    ),
    Feature(
        "realtime sessions",
        "neither gated nor metered",
        (Patch(_REALTIME, "RealtimeSession.__init__", realtime.made),),
    ),
    Feature(
        "live sessions",
        "their time is metered by what LiveKit tells of it, and not gated",
        (
            Patch(
                "livekit.agents.llm.duplex",
                "DuplexSession.__init__",
                live.made,
                ("DuplexSession._update_session",),
            ),
        ),
        (("livekit.agents.llm.duplex_adapter", "_DuplexRealtimeSession._duplex"),),
    ),
    Feature(
        "spans of realtime replies",
        "cost stands on spans of ours beside LiveKit's",
        (
            Patch(
                f"{_VOICE}.agent_activity",
                "AgentActivity._realtime_generation_task_impl",
                realtime_span.generation,
            ),
            Patch(
                "livekit.agents.telemetry.utils",
                "record_realtime_metrics",
                realtime_span.record_metrics,
            ),
        ),
    ),
    Feature(
        "who asks, and where",
        "requests do not tell their agent, turn, speech or participant",
        (Patch(f"{_VOICE}.agent_session", "AgentSession.start", who.session_start),),
        (
            (f"{_VOICE}.agent_activity", "_AgentActivityContextVar"),
            (f"{_VOICE}.agent_activity", "_SpeechHandleContextVar"),
            (f"{_VOICE}.agent_session", "AgentSession._agent"),
            (f"{_VOICE}.agent_session", "AgentSession._room_io"),
            (f"{_VOICE}.agent_session", "AgentSession._usage_collector"),
            (f"{_VOICE}.speech_handle", "SpeechHandle._generation_id"),
        ),
    ),
    Feature(
        "who listens anew",
        "an agent that is switched to from outside of its session listens for nobody",
        (
            Patch(f"{_VOICE}.agent_activity", "AgentActivity._start_session", who.agent_start),
            Patch(
                f"{_VOICE}.audio_recognition",
                "AudioRecognition._update_stt",
                who.stt_start,
                ("AudioRecognition._session",),
            ),
        ),
    ),
    Feature(
        "speech of TTS plugins",
        "metered where a plugin uses the openai SDK",
        (
            Patch(_TTS, "ChunkedStream.__init__", tts.made, _CHUNKED),
            Patch(_TTS, "ChunkedStream._main_task", tts.main_task, _CHUNKED),
            Patch(_TTS, "ChunkedStream._metrics_monitor_task", tts.monitor, _CHUNKED),
            Patch(_TTS, "SynthesizeStream.__init__", tts.made, _SYNTHESIZE),
            Patch(_TTS, "SynthesizeStream._main_task", tts.main_task, _SYNTHESIZE),
            Patch(_TTS, "SynthesizeStream._metrics_monitor_task", tts.monitor, _SYNTHESIZE),
            Patch(
                _TTS,
                "SynthesizeStream.push_text",
                tts.push_text,
                (*_SYNTHESIZE, "SynthesizeStream._input_buffer"),
            ),
        ),
        tuple(
            (_TTS, name)
            for name in (
                *_of("ChunkedStream", "_tts _current_attempt_has_error _input_tokens"),
                *_of("SynthesizeStream", "_tts _mtc_pending_texts _mtc_text _started_time"),
                *_of("SynthesizeStream", "_input_ch _input_tokens"),
            )
        ),
    ),
    Feature(
        "what STT plugins hear",
        "metered where a plugin uses the openai SDK",
        (
            Patch(_STT, "STT.recognize", stt.recognize),
            Patch(_STT, "RecognizeStream._main_task", stt.main_task, _RECOGNIZE),
            Patch(_STT, "RecognizeStream._metrics_monitor_task", stt.monitor, _RECOGNIZE),
            Patch(_STT, "RecognizeStream.push_frame", stt.push_frame, _RECOGNIZE),
            Patch(_STT, "RecognizeStream.aclose", stt.closed, _RECOGNIZE),
        ),
        ((_STT, "RecognizeStream._input_ch"),),
    ),
    Feature(
        "speech refused at the start",
        "a session starts although its speech is to be refused",
        (Patch(f"{_VOICE}.agent_session", "AgentSession.start", speech_at_start.start),),
    ),
    Feature(
        "LiveKit's cloud",
        "a job that is recorded when Aden is set up in it is no longer recorded as a whole",
        uses=(
            (_TRACES, "_cloud"),
            *(
                (_TRACES, name)
                for name in _of(
                    "_CloudTelemetry",
                    "_lock _observability_url _trace_provider_attached _ensure_trace_pipeline "
                    "_exit_targets _logger_provider _owned_meter_provider",
                )
            ),
        ),
    ),
    Feature(
        "the job of a process",
        "requests in threads that do not copy LiveKit's context are nobody's",
        (Patch("livekit.agents.job", "JobContext.__init__", job.made),),
    ),
    Feature(
        "the end of a job",
        "no bill is told; async emitters are asked at the process's end, with a loop of their own",
        (Patch("livekit.agents.job", "JobContext._on_cleanup", job.cleanup),),
    ),
)
"""All of it; what is not here is public, or looked for with a default."""


def patches() -> Iterable[Patch]:
    """Everything of LiveKit that Aden wraps and unwraps."""
    return (patch for feature in FEATURES for patch in feature.patches)


@functools.cache
def metered_by_spans() -> bool:
    """Whether LLM requests are met by LiveKit's spans alone: the places to wrap have moved."""
    return bool(LLM.lacks)
