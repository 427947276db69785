"""``python agent.py console --text``: an agent of this house at a terminal, without LiveKit."""

import re
import sys
from pathlib import Path

import pytest
from terminal import PROMPT, Terminal
from workers import DISTRO, LAUNCH, PROGRAMS, ROOT, Home, clean_environment, wait_until

from aden.budgets.heard import DEFAULT_MESSAGE
from aden.testing import OpenAIServer

EXAMPLES = ROOT / "examples"
WORDS_OF_THE_END = "shutting down worker"


def console(program: Path, home: Home, *launch: str, **variables: str) -> Terminal:
    """LiveKit's console with *program*, where somebody may type."""
    env = clean_environment(**home.environment, **variables)
    env["PYTHONPATH"] += f":{PROGRAMS / 'no_sound'}"
    command = [*(launch or (sys.executable,)), str(program), "console", "--text"]
    return Terminal(command, home.path, env)


def test_what_is_typed_is_answered_shown_and_booked_to_the_last_word(tmp_path: Path) -> None:
    """Two questions, a line of ours for each, and Ctrl-C in the middle of the third answer."""
    with OpenAIServer(ttft_ms=5, token_interval_ms=1) as provider:
        home = Home(tmp_path, provider)
        with console(EXAMPLES / "livekit_voice_agent.py", home) as terminal:
            terminal.shows(PROMPT)
            terminal.ask("When is breakfast?")
            terminal.ask("And on Sundays?")
            terminal.say("Tell me in 60000 tokens.")
            wait_until(lambda: home.asked == 4, 20, terminal.text)
            terminal.interrupt()
            assert terminal.exit_code() == 0
        assert "Traceback" not in terminal.text
        greeting, *answers, cut = home.journal()
        bill = [item.nano_usd for item in provider.bill.items]
        assert [each.cost for each in (greeting, *answers)] == bill[:3]
        assert cut.usage.estimated
        assert cut.cost == pytest.approx(bill[3], rel=0.3)
        lines = re.findall(r"\[aden\] .*?gpt-4o-mini", terminal.text)
        assert len(lines) == 4
        assert "for 4 calls in" in terminal.text
        home.assert_nothing_is_held()


def test_a_refused_turn_is_an_answer_in_the_console_and_does_not_end_it(tmp_path: Path) -> None:
    """LiveKit's console asks `session.run`, which raises; who types sees what a caller hears."""
    with OpenAIServer() as provider:
        home = Home(tmp_path, provider, '[[budget]]\nid = "calls"\nlimit_usd = 0\n')
        agent = EXAMPLES / "livekit_zero_code" / "agent.py"
        with console(agent, home, *LAUNCH, **DISTRO) as terminal:
            terminal.shows(PROMPT)
            for question in ("When is breakfast?", "And on Sundays?"):
                terminal.ask(question)
            assert WORDS_OF_THE_END not in terminal.text
            terminal.interrupt()
            assert terminal.exit_code() == 0
        assert terminal.text.count(f"● Agent\n    {DEFAULT_MESSAGE}") == 2
        assert home.asked == 0
