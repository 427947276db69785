"""LiveKit Agents: the places through which every plugin goes.

Everything that LiveKit keeps private is reached in this room and nowhere else.
"""

from aden.instrumentation.livekit import (
    above,
    job,
    llm,
    node,
    realtime,
    realtime_span,
    speech_at_start,
    stt,
    tts,
    who,
)
from aden.instrumentation.patches import Patch, Patches

_LLM = "livekit.agents.llm.llm"
_ACTIVITY = "livekit.agents.voice.agent_activity"
_FALLBACK = "livekit.agents.llm.fallback_adapter"
_TTS = "livekit.agents.tts.tts"
_STT = "livekit.agents.stt.stt"

LIVEKIT = Patches(
    (
        Patch(_LLM, "LLMStream.__init__", llm.made),
        Patch(_LLM, "LLMStream._main_task", llm.main_task),
        Patch(_LLM, "LLMStream._metrics_monitor_task", llm.monitor),
        Patch(_LLM, "LLMStream._emit_error", above.emit_error),
        Patch("livekit.agents.voice.generation", "_llm_inference_task", node.inference),
        Patch(_FALLBACK, "FallbackLLMStream._try_recovery", above.try_recovery),
        Patch(_FALLBACK, "FallbackLLMStream._metrics_monitor_task", llm.monitor),
        Patch("livekit.agents.llm.realtime", "RealtimeSession.__init__", realtime.made),
        Patch(_ACTIVITY, "AgentActivity._realtime_generation_task_impl", realtime_span.generation),
        Patch(
            "livekit.agents.telemetry.utils",
            "record_realtime_metrics",
            realtime_span.record_metrics,
        ),
        Patch("livekit.agents.voice.agent_session", "AgentSession.start", who.session_start),
        Patch("livekit.agents.voice.agent_session", "AgentSession.start", speech_at_start.start),
        Patch(_TTS, "ChunkedStream.__init__", tts.made),
        Patch(_TTS, "ChunkedStream._main_task", tts.main_task),
        Patch(_TTS, "ChunkedStream._metrics_monitor_task", tts.monitor),
        Patch(_TTS, "SynthesizeStream.__init__", tts.made),
        Patch(_TTS, "SynthesizeStream._main_task", tts.main_task),
        Patch(_TTS, "SynthesizeStream._metrics_monitor_task", tts.monitor),
        Patch(_TTS, "SynthesizeStream.push_text", tts.push_text),
        Patch(_STT, "STT.recognize", stt.recognize),
        Patch(_STT, "RecognizeStream._main_task", stt.main_task),
        Patch(_STT, "RecognizeStream._metrics_monitor_task", stt.monitor),
        Patch(_STT, "RecognizeStream.push_frame", stt.push_frame),
        Patch("livekit.agents.job", "JobContext._on_cleanup", job.cleanup),
    )
)
"""Everything of LiveKit that Aden wraps and unwraps."""
