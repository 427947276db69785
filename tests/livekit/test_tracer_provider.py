"""LiveKit's tracer keeps the provider that it saw first; it must be ours, whoever came first."""

import subprocess
import sys

import pytest
from workers import clean_environment

PROGRAM = """\
{first}
{second}
from livekit.agents.telemetry import tracer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_tracer_provider
# With a proxy here, LiveKit Cloud's recording makes a provider of its own, and its spans leave us.
provider = tracer._tracer_provider
print(type(provider) is TracerProvider, provider is get_tracer_provider())
"""
LIVEKIT = "import livekit.agents"
ADEN = "import aden; aden.instrument()"


@pytest.mark.parametrize(("first", "second"), [(LIVEKIT, ADEN), (ADEN, LIVEKIT)])
def test_livekit_adopts_our_tracer_provider(first: str, second: str) -> None:
    """Imported before (as in LiveKit's forkserver) or after (as in a spawned job)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(first=first, second=second)],
        env=clean_environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["True", "True"]
