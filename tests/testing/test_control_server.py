"""The local Aden server, as docs/server.md shows it to users."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from aden.testing import ControlServer, OpenAIServer

PAGE = Path(__file__).parents[2] / "docs" / "server.md"


CALL = """
import openai

def call():
    client = openai.OpenAI(base_url={url!r}, api_key="sk-local", max_retries=0)
    said = [{{"role": "user", "content": "Hello?"}}]
    client.chat.completions.create(model="gpt-4o-mini", messages=said)

"""


def test_the_program_of_the_page_passes(tmp_path: Path) -> None:
    """One call, told and shown; nothing of it is refused, and the log has no complaint."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert "    …\n" in program
    # Before the server is gone, what would complain of that has ended.
    program = program.replace("…", "call()") + "    aden.uninstrument()\n"
    env = os.environ | {"XDG_STATE_HOME": str(tmp_path), "ADEN_LEDGER": "memory:"}
    with OpenAIServer() as provider:
        ran = subprocess.run(
            [sys.executable, "-c", CALL.format(url=provider.base_url) + program],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert len(provider.requests) == 1
    assert ran.returncode == 0, ran.stderr
    assert "not taken" not in ran.stderr
    assert "not be" not in ran.stderr


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [("aden-key", b"", 200), ("aden-key", b"no protobuf", 400), ("other", b"", 401)],
)
def test_telemetry_is_taken_with_the_key_and_as_otlp(key: str, body: bytes, status: int) -> None:
    """As an Aden server takes it below its base URL; one of early 2026 has no such path."""
    with ControlServer() as server, ControlServer(is_old=True) as old:
        assert _post(f"{server.url}/v1/traces", key, body) == status
        assert _post(f"{server.url}/v1/metrics", key, body) == status
        assert _post(f"{old.url}/v1/traces", key, body) == 404


def _post(url: str, key: str, body: bytes) -> int:
    request = urllib.request.Request(
        url, body, {"Authorization": f"Bearer {key}", "Content-Type": "application/x-protobuf"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
