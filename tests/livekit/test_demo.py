"""`aden demo`, as a person runs it: the whole house in one command, and its figures agree."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from workers import clean_environment

from aden.testing import OpenAIServer, Status

LIMIT_USD = 0.08

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints, on both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "aden", "demo"],
        cwd=tmp_path_factory.mktemp("demo"),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_demo_runs_its_jobs_in_processes_of_their_own(output: str) -> None:
    """At least three at once, and none of them is the worker's."""
    worker = re.search(r"worker \(process (\d+)\)", output)
    assert worker is not None
    jobs = set(re.findall(r"runs in process (\d+)", output))
    calls = set(re.findall(r"^\[aden\] \S+ \w+/(\d+) ", output, re.MULTILINE))
    assert len(jobs) >= 3
    assert calls == jobs
    assert worker[1] not in jobs


def test_the_demo_passes_through_every_action_of_the_guide(output: str) -> None:
    """Proceed, degrade, throttle and cancel, decided by the guide's own hook, in this order."""
    lines = re.findall(r"^\[aden\] .*$", output, re.MULTILINE)
    actions = [
        next(name for name in ("cancel (", "throttle", "degrade", "proceed") if name in line)
        for line in lines
    ]
    assert set(actions) == {"proceed", "degrade", "throttle", "cancel ("}
    # A throttled call prints its line when it ends, after the refusals of others meanwhile.
    order = ("proceed", "degrade", "cancel (")
    assert sorted(order, key=actions.index) == list(order)
    assert re.search(r"gpt-4o → gpt-4o-mini .*degrade \(by hook\)", output)
    assert "throttle 2000 ms (by hook)" in output
    assert "cancelled" in output  # one answer of each job is interrupted


def test_the_demo_s_bill_agrees_with_the_provider_s_to_the_nano_dollar(output: str) -> None:
    """Where usage was reported; where the caller interrupted, the estimate says how far it is."""
    reported = re.search(r"usage reported +(\d+) +(\S+) +(\S+) +(\S+) nano-dollars$", output, re.M)
    assert reported is not None
    assert int(reported[1]) > 10
    assert (reported[2], reported[4]) == (reported[3], "0")
    estimated = re.search(r"cut off: estimated +(\d+) .* nano-dollars", output)
    assert estimated is not None
    assert int(estimated[1]) >= 1
    assert "but not" not in output  # billed and unknown to us, or the other way round


def test_the_demo_does_not_overspend(output: str) -> None:
    """Three processes share one budget; what was open when it ran out is the most it can exceed."""
    found = re.search(
        r"demo: \$(\S+) of \$(\S+) spent .* unconfirmed \$(\S+), held \$(\S+)", output
    )
    assert found is not None
    spent, limit, unconfirmed, held = map(float, found.groups())
    assert limit == LIMIT_USD
    assert 0.9 * limit < spent <= 1.01 * limit
    assert (unconfirmed, held) == (0, 0)


def test_the_demo_prints_no_traceback(output: str) -> None:
    """Refusals are answers, not accidents."""
    assert "Traceback" not in output
    assert "Error" not in output


def test_the_demo_names_a_wrong_limit(tmp_path: Path) -> None:
    """Bad input names itself, its value and what is allowed."""
    done = subprocess.run(
        [sys.executable, "-m", "aden", "demo", "--limit", "much"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--limit='much' is not valid: expected an amount in US dollars" in done.stderr
    assert done.stdout == ""


def live_demo(
    provider: OpenAIServer, directory: Path, *options: str
) -> "subprocess.CompletedProcess[str]":
    """The demo of one job that asks *provider*, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "aden", "demo", "--live", "--jobs", "1", *options],
        cwd=directory,
        env=clean_environment()
        | {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-live"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_live_demo_asks_the_api_that_the_environment_names(tmp_path: Path) -> None:
    """The same worker and jobs; only the provider is not ours, so its bill is not shown."""
    with OpenAIServer(ttft_ms=10, token_interval_ms=1) as provider:
        done = live_demo(provider, tmp_path, "--limit", "0.004")
        provider.wait_idle()
        assert done.returncode == 0, done.stdout + done.stderr
        assert provider.bill.items
        assert "cancel (by hook: exhausted)" in done.stdout
        assert "The provider's bill" not in done.stdout
        assert "sk-live" not in done.stdout + done.stderr


def test_the_live_demo_says_why_no_call_was_answered(tmp_path: Path) -> None:
    """A key that is not accepted: the provider's words, no budget to blame, no success."""
    with OpenAIServer() as provider:
        provider.script(*[Status(401, message="Incorrect API key provided.")] * 10)
        done = live_demo(provider, tmp_path)
    assert re.search(r"\[job\] \S+ failed: .*Incorrect API key provided", done.stdout)
    assert "$0.080000 are left\n" in done.stdout
    assert "no call got an answer" in done.stderr
    assert done.returncode == 1


def test_the_demo_says_what_is_missing(tmp_path: Path) -> None:
    """The plugin may be there, and not fit the LiveKit that is."""
    (tmp_path / "livekit").mkdir()
    (tmp_path / "livekit/__init__.py").write_text("raise ImportError('it has no such name')")
    environment = clean_environment()
    environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    done = subprocess.run(
        [sys.executable, "-m", "aden", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "aden demo needs LiveKit: pip install 'aden-py[livekit]' (it has no such name)\n"
    )
