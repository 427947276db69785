"""LiveKit Agents: the gate at the one place through which every LLM plugin goes.

Everything that LiveKit keeps private is reached in this room and nowhere else.
"""

from aden.instrumentation.livekit import fallback, job, llm, who
from aden.instrumentation.patches import Patch, Patches

_LLM = "livekit.agents.llm.llm"
_FALLBACK = "livekit.agents.llm.fallback_adapter"

LIVEKIT = Patches(
    (
        Patch(_LLM, "LLMStream.__init__", llm.made),
        Patch(_LLM, "LLMStream._main_task", llm.main_task),
        Patch(_LLM, "LLMStream._metrics_monitor_task", llm.monitor),
        Patch(_FALLBACK, "FallbackLLMStream._try_recovery", fallback.try_recovery),
        Patch("livekit.agents.voice.agent_session", "AgentSession.start", who.session_start),
        Patch("livekit.agents.job", "JobContext._on_cleanup", job.cleanup),
    )
)
"""Everything of LiveKit that Aden wraps and unwraps."""
