"""Functions of the program, told of a refusal, that speak or have the agent answer themselves."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from lane_kit import INSTRUCTIONS, Lane, until
from livekit.agents import Agent
from test_heard import NOTHING_LEFT, SORRY, call

from aden.budgets.heard import DEFAULT_MESSAGE
from aden.livekit import RefusedTurn

OWN = "I connect you."


@pytest.fixture(params=["refusal_message", "hand_over"])
def setting(request: pytest.FixtureRequest) -> str:
    """By which the function is given."""
    return str(request.param)


def _given(setting: str, function: Callable[[RefusedTurn], Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"on_refusal": "hand_over", "refusal_message": SORRY}
    if setting == "refusal_message":
        options = {"on_refusal": "say"}
    return {"budgets": NOTHING_LEFT, **options, setting: function}


@pytest.mark.parametrize("asks", ["user_input", "instructions"])
async def test_an_answer_that_it_asks_for_and_is_refused_is_not_given_to_it_again(
    lane: Lane, setting: str, asks: str
) -> None:
    """It would ask again, for ever, while the caller hears nothing."""
    told: list[RefusedTurn] = []

    def explains(refused: RefusedTurn) -> str:
        told.append(refused)
        if len(told) < 5:
            asked: dict[str, Any] = {asks: "Tell the caller that the money is gone."}
            refused.session.generate_reply(**asked)
        return ""

    with lane.instrumented(**_given(setting, explains)):
        async with call(lane) as line:
            await line.turn()
            await asyncio.sleep(0.2)
            said = SORRY if setting == "hand_over" else DEFAULT_MESSAGE
            assert line.voice.said() == said
            assert len(told) == 1
            assert len(line.errors) == 2

            await line.turn()  # the caller's own next one is
            assert len(told) == 2


async def test_a_speech_that_it_gives_is_what_the_caller_hears(lane: Lane, setting: str) -> None:
    """It cannot be waited for: it is spoken when the refused turn is over."""
    with lane.instrumented(**_given(setting, lambda refused: refused.session.say(OWN))):
        async with call(lane) as line:
            await line.turn()
            assert line.voice.spoken == [OWN]
            assert line.answers() == [OWN]


async def test_what_the_caller_says_to_the_agent_that_it_switches_to_is_given_to_it(
    lane: Lane, setting: str
) -> None:
    """That agent begins to listen in the middle of the function."""
    told: list[RefusedTurn] = []

    def switches(refused: RefusedTurn) -> str:
        told.append(refused)
        refused.session.update_agent(Agent(instructions=INSTRUCTIONS))
        return OWN

    with lane.instrumented(**_given(setting, switches)):
        async with call(lane, listens=True) as line:
            for turn in (1, 2, 3):
                await line.spoken_turn(turn)
                await until(lambda count=turn: len(line.voice.spoken) == count)
            assert line.voice.spoken == [OWN] * 3
            assert len(told) == 3


async def test_one_that_blocks_the_loop_is_told_so_and_obeyed(
    lane: Lane, setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be left behind: the caller waits for it, and the log says why."""

    def looks_up(_refused: RefusedTurn) -> str:
        time.sleep(0.05)
        return OWN

    with lane.instrumented(**_given(setting, looks_up)):
        async with call(lane) as line:
            for _ in range(2):
                await line.turn()
            assert line.voice.spoken == [OWN] * 2
    (warning,) = [text for text in caplog.messages if "blocks the event loop" in text]
    assert warning.startswith(f"aden: {setting} took ")
