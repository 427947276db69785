"""A process that is killed while realtime replies are on their way."""

import subprocess
import sys
import time
from pathlib import Path

import aden
from aden import Budget
from aden.ledger.sqlite import SqliteLedger
from aden.testing import OpenAIServer
from aden.testing.clock import FixedClock

BUDGET = Budget("each", "100", scope={"customer": aden.ANY})
PROGRAM = """
import asyncio, sys
import aden
from aden import Budget, instrument, MeterOptions
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad
from lane_kit import until
from livekit.plugins import openai
from realtime_kit import ask, speak
import aiohttp

url, path = sys.argv[1:]
budget = Budget("each", "100", scope={"customer": aden.ANY})
instrument(MeterOptions(budgets=[budget], ledger="sqlite:///" + path))

async def main():
    async with aiohttp.ClientSession() as http:
        def session(customer, detects=None):
            with aden.attribution(customer_id=customer):
                return openai.realtime.RealtimeModel(
                    model="gpt-realtime", base_url=url, api_key="sk", http_session=http,
                    turn_detection=detects, input_audio_transcription=None).session()
        detects = ServerVad(type="server_vad", create_response=True)
        asked, heard = session("asked"), session("heard", detects)
        answered = session("vad", detects)
        await ask(asked)
        with aden.attribution(customer_id="asked"):
            await asked.generate_reply()
        speak(answered)
        begun = []
        answered.on("generation_created", begun.append)
        await until(lambda: begun)
        spoken = []
        heard.on("input_speech_started", spoken.append)
        speak(heard, stop=False)
        await until(lambda: spoken)
        await asyncio.sleep(0.3)
        print("killed", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_replies_on_their_way_are_booked_and_those_only_held_ahead_are_released(
    tmp_path: Path,
) -> None:
    """SIGKILL costs precision, never the spend: asked for, begun by the server, not begun."""
    path = tmp_path / "ledger.db"
    search = f"{Path(aden.__file__).parents[1]}:{Path(__file__).parent}"
    with OpenAIServer(ttft_ms=1, token_interval_ms=200) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, server.websocket_base_url, str(path)],
            env={"PYTHONPATH": search, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "killed\n", process.communicate()[1]
        process.kill()
        process.communicate()
    keys = [(f"each|customer={name}", BUDGET.span) for name in ("asked", "vad", "heard")]
    ledger = SqliteLedger(path, FixedClock(time.time()))
    assert [balance.held > 0 for balance in ledger.balances(keys)] == [True, True, True]
    ledger.close()
    later = SqliteLedger(path, FixedClock(time.time() + 61))
    balances = later.balances(keys)
    assert [balance.unconfirmed > 0 for balance in balances] == [True, True, False]
    assert [balance.held for balance in balances] == [0, 0, 0]
    later.close()
