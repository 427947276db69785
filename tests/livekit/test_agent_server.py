"""An agent of today's API: `AgentServer(setup_fnc=)`, `@server.rtc_session`, `agent.py dev`."""

from pathlib import Path

import pytest
from control_plane import FAILED, SUCCESS, ControlPlane
from workers import PROGRAMS, Home, Worker

from aden.testing import OpenAIServer


@pytest.mark.timeout(300)
def test_a_job_of_an_agent_server_is_gated_and_metered(
    provider: OpenAIServer, tmp_path: Path
) -> None:
    """In a process of its own, where LiveKit's fork server has imported Aden for it."""
    home = Home(tmp_path, provider)
    with ControlPlane() as plane:
        variables = {**home.environment, **plane.environment}
        program = PROGRAMS / "modern_agent.py"
        with Worker(program, tmp_path, variables, action=("dev",)) as worker:
            plane.wait_for_worker(100)
            plane.dispatch("AJ_today")
            assert plane.wait_for("AJ_today", SUCCESS, FAILED, timeout_s=100) == SUCCESS
            assert worker.terminate(100) == 0
            (record,) = home.journal()
            assert record.pid != worker.process.pid
    assert record.attribution.session_id == "AJ_today"
    assert record.budget_id == "calls"
    assert record.cost == provider.bill.total_nano_usd > 0
