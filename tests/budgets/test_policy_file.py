"""Budgets in a TOML file, read again when it changes."""

import os
from pathlib import Path

import pytest

from aden import ANY, Alert, ConfigurationError, Degrade, Throttle
from aden.budgets.policy_file import LOOK_EVERY_S, PolicyFile, load_policy
from aden.core.window import Rolling

GOOD = """
[[budget]]
id = "calls"
limit_usd = "25.00"
window = "month"
timezone = "Europe/Berlin"
scope = { customer = "*" }
[[budget.ladder]]
action = "degrade"
at = 80
to = "gpt-4o-mini"
[[budget.ladder]]
action = "throttle"
at = 95
delay_ms = 2000
[[budget.ladder]]
action = "alert"
at = 50
"""


def test_a_rolling_window_is_written_as_in_code(tmp_path: Path) -> None:
    """One spelling."""
    path = tmp_path / "budgets.toml"
    path.write_text(GOOD.replace('"month"', '"rolling 15m"'))
    (budget,) = load_policy(path, "enforce").budgets
    assert budget.span.rolling == Rolling(900)


def test_a_file_says_what_code_would_say(tmp_path: Path) -> None:
    """The same keywords, the ladder as tables with an action."""
    path = tmp_path / "budgets.toml"
    path.write_text(GOOD)
    (budget,) = load_policy(path, "enforce").budgets
    assert budget.limit.amount == 25_000_000_000
    assert budget.scope == {"customer": ANY}
    assert budget.ladder == (Alert(50), Degrade(80, "gpt-4o-mini"), Throttle(95, 2000))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[budget]\n", "TOML"),
        ("budget = 3", "[[budget]]"),
        ("budgets = []", "budgets"),
        ('mode = "later"', "later"),
        ("[[budget]]\nlimit_usd = 1", "id"),
        ('[[budget]]\nid = "b"', "limit_usd"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nlimit_tokens = 5', "limit_tokens"),
        ('[[budget]]\nid = "b"\nlimit_requests = 1.5', "1.5"),
        ('[[budget]]\nid = "b"\nlimit_usd = nan', "nan"),
        ('[[budget]]\nid = "b"\nlimit_seconds = nan', "seconds from 0"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nlimt = 2', "limt"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nscope = "x"', "scope"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nladder = "x"', "ladder"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "explode"}]', "explode"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "degrade", at = 3}]', "to"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\n[[budget]]\nid = "b"\nlimit_usd = 1', "once"),
    ],
)
def test_a_wrong_file_is_refused_with_the_thing_named(
    tmp_path: Path, text: str, named: str
) -> None:
    """The person who wrote it finds the place."""
    path = tmp_path / "budgets.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_policy(path, "enforce")
    assert named in str(caught.value)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    """At the start, not at the first call."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        PolicyFile(tmp_path / "nowhere.toml", "enforce")


def test_an_edit_is_picked_up_and_a_broken_one_keeps_the_last_good_policy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No restart is needed, and a typo does not disarm anything."""
    path = tmp_path / "budgets.toml"
    path.write_text(GOOD)
    watched = PolicyFile(path, "enforce")
    before = watched.current()

    _edit(path, watched, "[[budget]\n")
    assert watched.current() is before
    assert "the last good one stays" in caplog.text

    _edit(path, watched, 'mode = "observe"\n' + GOOD.replace("25.00", "30.00"))
    assert watched.current().budgets[0].limit.amount == 30_000_000_000
    assert watched.current().mode == "observe"


def _edit(path: Path, watched: PolicyFile, text: str) -> None:
    path.write_text(text)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    watched._looked_at -= LOOK_EVERY_S  # as if a second had passed
