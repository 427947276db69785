"""What the package promises to keep."""

import subprocess
import sys
from pathlib import Path

import aden
from aden.instrumentation.active import active_meter

PUBLIC = [
    "ANY",
    "AdenError",
    "AdenInstrumentor",
    "Alert",
    "AlertEvent",
    "Allowance",
    "Attribution",
    "BeforeRequestContext",
    "BeforeRequestResult",
    "Block",
    "Budget",
    "CallRecord",
    "ConfigurationError",
    "Degrade",
    "MeterOptions",
    "RequestCancelledError",
    "Rule",
    "Throttle",
    "attribution",
    "create_console_emitter",
    "flush",
    "instrument",
    "priced",
    "requests",
    "seconds",
    "tokens",
    "uninstrument",
]


def test_the_public_names_are_these() -> None:
    """A name that is added or dropped is a decision, not an accident."""
    assert aden.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(aden, name) is not None


def test_importing_aden_loads_no_provider_no_prices_and_no_exporter() -> None:
    """Import is cheap: what is heavy waits until it is used."""
    code = (
        "import sys, aden, aden.core, json; "
        "print([m for m in ('openai', 'livekit', 'genai_prices', 'pydantic', 'requests', "
        "'opentelemetry.exporter', 'opentelemetry.sdk.trace.export') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_instrumenting_does_not_import_the_sdks_it_wraps() -> None:
    """They are wrapped when the application imports them."""
    code = (
        "import sys, aden; aden.instrument(ledger='memory:'); "
        "print([m for m in ('openai', 'livekit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_the_telemetry_room_imports_util_genai() -> None:
    """A beta dependency stays behind one door."""
    source = Path(aden.__file__).parent
    users = {
        path.relative_to(source).parts[0]
        for path in source.rglob("*.py")
        if "opentelemetry.util.genai" in path.read_text()
    }
    assert users == {"telemetry"}


def test_no_file_outgrows_350_lines() -> None:
    """A file over 350 lines is two files."""
    for path in Path(aden.__file__).parent.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path


def test_what_one_way_put_into_a_process_another_takes_out() -> None:
    """They end in the same place."""
    aden.instrument(ledger="memory:", budgets=[])
    assert active_meter() is not None
    aden.AdenInstrumentor().uninstrument()
    assert active_meter() is None
