"""LiveKit Agents: the places through which every plugin goes.

Everything that LiveKit keeps private is reached in this room and nowhere else.
"""

from aden.instrumentation.livekit.features import patches
from aden.instrumentation.patches import Patches

LIVEKIT = Patches(tuple(patches()))
"""Everything of LiveKit that Aden wraps and unwraps."""
