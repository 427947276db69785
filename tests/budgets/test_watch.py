"""A policy file is read again when it changes, whatever program changes it."""

import os
import threading
import time
from pathlib import Path

import pytest

from aden import ConfigurationError
from aden.budgets import watch
from aden.budgets.watch import LOOK_EVERY_S, PolicyFile


def _text(limit: str) -> str:
    return f'[[budget]]\nid = "calls"\nlimit_usd = "{limit}"\n'


def _write(path: Path, text: str, age_s: float = 60.0) -> None:
    """As an editor does that opens the file and overwrites it, *age_s* seconds ago."""
    path.write_text(text)
    _age(path, age_s)


def _age(path: Path, age_s: float = 60.0) -> None:
    then = time.time_ns() - round(age_s * 1e9)
    os.utime(path, ns=(then, then))


def _limit(watched: PolicyFile) -> int:
    """The limit in force in whole dollars, after one look."""
    watched._looked_at -= LOOK_EVERY_S  # as if a second had passed
    watched.current()
    for _ in range(200):  # the reader's thread may need more than its 5 ms on a busy machine
        if watched._reading is None or not watched._reading.is_alive():
            break
        time.sleep(0.01)
    return watched.current().budgets[0].limit.amount // 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a budget of 25 dollars."""
    path = tmp_path / "budgets.toml"
    _write(path, _text("25"))
    return path


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    """At the start, not at the first call."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        PolicyFile(tmp_path / "nowhere.toml", "enforce")


def test_an_edit_that_no_thread_can_read_is_read_with_the_next_look(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request goes on under the last good one."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watched = PolicyFile(path, "enforce")
    _write(path, _text("30"))
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", start)
        assert _limit(watched) == 25
    assert _limit(watched) == 30


def test_an_edit_in_place_is_picked_up_and_the_mode_with_it(path: Path) -> None:
    """No restart is needed."""
    watched = PolicyFile(path, "enforce")
    _write(path, 'mode = "observe"\n' + _text("30"))
    assert _limit(watched) == 30
    assert watched.current().mode == "observe"
    _write(path, _text("30"))
    _limit(watched)
    assert watched.current().mode == "enforce"


def test_a_replaced_file_is_picked_up_even_with_the_same_size_and_time(path: Path) -> None:
    """As vim, sed -i and configuration tools do: write beside it, then rename."""
    watched = PolicyFile(path, "enforce")
    status = path.stat()
    new = path.with_suffix(".new")
    new.write_text(_text("31"))
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(path)
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (status.st_mtime_ns, status.st_size)
    assert _limit(watched) == 31


def test_a_swapped_symbolic_link_is_picked_up(tmp_path: Path) -> None:
    """As the kubelet updates a mounted ConfigMap: the link ``..data`` is replaced in one step."""
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        _write(tmp_path / f"..{version}" / "budgets.toml", _text(version))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "budgets.toml").symlink_to(Path("..data") / "budgets.toml")
    watched = PolicyFile(tmp_path / "budgets.toml", "enforce")
    assert _limit(watched) == 1
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    (tmp_path / "..1" / "budgets.toml").unlink()
    assert _limit(watched) == 2


def test_a_file_that_is_being_written_counts_when_it_has_stayed_the_same(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A truncated file, or one with half its budgets, is valid TOML and would let all through."""
    watched = PolicyFile(path, "enforce")
    _write(path, "", age_s=0)
    assert _limit(watched) == 25
    _write(path, _text("4")[:-3], age_s=0)
    assert _limit(watched) == 25
    _write(path, _text("40"), age_s=0)
    assert _limit(watched) == 25
    assert _limit(watched) == 40
    assert "not valid" not in caplog.text


def test_a_time_stamp_from_the_future_only_costs_a_look(path: Path) -> None:
    """The clock of a file server may run ahead."""
    watched = PolicyFile(path, "enforce")
    _write(path, _text("26"), age_s=-3600)
    assert _limit(watched) == 25
    assert _limit(watched) == 26


@pytest.mark.parametrize("broken", ["[[budget]\n", "", _text("25").replace("limit_usd", "limit")])
def test_a_broken_edit_keeps_the_last_good_policy_and_says_so_once(
    path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """A typo does not disarm anything; the next good edit counts."""
    watched = PolicyFile(path, "enforce")
    _write(path, broken)
    assert [_limit(watched) for _ in range(3)] == [25, 25, 25]
    assert caplog.text.count("is not valid; the last good one stays") == 1
    assert str(path) in caplog.text
    _write(path, _text("27"))
    assert _limit(watched) == 27


def test_a_deleted_file_keeps_the_last_good_policy_and_says_so_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts again as soon as it is back, also unchanged."""
    watched = PolicyFile(path, "enforce")
    kept = path.with_suffix(".kept")
    path.rename(kept)
    assert [_limit(watched) for _ in range(3)] == [25, 25, 25]
    assert caplog.text.count("is gone; the last good budgets stay in force") == 1
    kept.rename(path)
    assert _limit(watched) == 25
    _write(path, _text("28"))
    assert _limit(watched) == 28


def test_a_model_that_no_price_knows_is_said_at_each_edit(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A typo in a new line is found when it is made."""
    watched = PolicyFile(path, "enforce")
    assert "no price knows" not in caplog.text
    _write(path, _text("29") + 'scope = { model = "gpt-4oo" }\n')
    assert _limit(watched) == 29
    watched._reading.join(5)  # type: ignore[union-attr]
    assert "budget 'calls' is for 'gpt-4oo', a model that no price knows" in caplog.text


def test_the_file_is_looked_at_once_a_second_at_most(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the number of requests."""
    looks: list[Path] = []
    stamp = watch._stamp

    def looking(path: Path) -> tuple[int, int, int, int] | None:
        looks.append(path)
        return stamp(path)

    monkeypatch.setattr(watch, "_stamp", looking)
    watched = PolicyFile(path, "enforce")
    for _ in range(1000):
        watched.current()
    assert len(looks) <= 2


def test_a_large_file_does_not_hold_up_the_request_that_finds_it(path: Path) -> None:
    """It is read beside the request and takes effect when it is read."""
    watched = PolicyFile(path, "enforce")
    many = "".join(_text("29").replace("calls", f"b{number}") for number in range(3000))
    _write(path, many)
    watched._looked_at -= LOOK_EVERY_S
    assert len(watched.current().budgets) == 1
    assert _limit(watched) == 29
    assert len(watched.current().budgets) == 3000


def test_a_child_reads_what_its_parent_was_reading_at_the_fork(path: Path) -> None:
    """A thread does not survive a fork; unread, the edit would never take effect there."""
    watched = PolicyFile(path, "enforce")
    reads, go_on = threading.Event(), threading.Event()

    def accept(_policy: object) -> None:
        reads.set()
        go_on.wait(5)

    watched.accept = accept
    _write(path, _text("30"))
    watched._looked_at -= LOOK_EVERY_S
    watched.current()
    assert reads.wait(5)
    if not (child := os.fork()):
        watched.accept = lambda policy: None
        watched._reading = None
        os._exit(_limit(watched))
    go_on.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 30
