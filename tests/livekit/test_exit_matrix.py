"""Law 12: however a job ends, on each Python and in each kind of executor, no spend is lost.

Each cell of the matrix is two workers whose jobs end in every way at once (`exits.py`). While a
test looks at one, the next ones are running.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from control_plane import FAILED
from exits import Shop, endings, orphan

from pythons import VERSIONS, interpreter

AT_ONCE = 2
Play = Callable[[Path, str, str], Shop]
PLAYS: tuple[Play, ...] = (endings, orphan)

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Cell:
    """A Python and a kind of executor."""

    version: str
    executor: str

    @property
    def processes(self) -> bool:
        """Whether each job has a process of its own."""
        return self.executor != "thread"


CELLS = tuple(Cell(*each) for each in product(VERSIONS, ("forkserver", "spawn", "thread")))


class Stage:
    """Plays cells: the one that is asked for, and meanwhile the next."""

    def __init__(self, pool: ThreadPoolExecutor, place: Callable[[str], Path]) -> None:
        self._pool = pool
        self._place = place
        self._plays = [each for each in product(CELLS, PLAYS) if _python(each[0])]
        self._begun: dict[tuple[Cell, Play], Future[Shop]] = {}

    def play(self, cell: Cell, play: Play, *, again: bool) -> Shop:
        """What a cell left behind; *again* for a test that is run once more after it failed."""
        if again:
            del self._begun[cell, play]
        place = self._plays.index((cell, play))
        for each in self._plays[place : place + AT_ONCE]:
            if each not in self._begun:
                self._begun[each] = self._begin(*each)
        return self._begun[cell, play].result()

    def _begin(self, cell: Cell, play: Play) -> Future[Shop]:
        path = self._place(f"{cell.version}-{cell.executor}")
        python = _python(cell)
        assert python is not None
        return self._pool.submit(play, path, cell.executor, python)


def _python(cell: Cell) -> str | None:
    return interpreter(cell.version)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Where workers are run side by side."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield Stage(pool, tmp_path_factory.mktemp)
        pool.shutdown(cancel_futures=True)


@pytest.fixture(
    scope="module",
    params=[pytest.param(each, id=f"{each.version}-{each.executor}") for each in CELLS],
)
def cell(request: pytest.FixtureRequest) -> Cell:
    """One cell of the matrix."""
    this: Cell = request.param
    if interpreter(this.version) is None:
        pytest.skip(f"no Python {this.version} with LiveKit: make found no such interpreter")
    return this


@pytest.fixture
def again(request: pytest.FixtureRequest) -> bool:
    """Whether the test has failed before, and is run once more."""
    return getattr(request.node, "execution_count", 1) > 1


@pytest.fixture
def ended(cell: Cell, stage: Stage, again: bool) -> Shop:
    """A worker whose jobs have ended in each way, and which was drained at last."""
    return stage.play(cell, endings, again=again)


@pytest.fixture
def orphaned(cell: Cell, stage: Stage, again: bool) -> Shop:
    """A worker that was killed."""
    return stage.play(cell, orphan, again=again)


def test_a_job_that_shuts_itself_down_loses_nothing(ended: Shop) -> None:
    """`ctx.shutdown()`: ledger, emitter and a whole trace, root span included."""
    ended.assert_handed_out("AJ_shutdown", calls=2)
    ended.assert_emitted_undisturbed("AJ_shutdown")
    ended.assert_succeeded("AJ_shutdown")


def test_a_job_whose_room_is_deleted_loses_nothing(ended: Shop) -> None:
    """The usual end of a call."""
    ended.assert_handed_out("AJ_deleted", calls=1)
    ended.assert_emitted_undisturbed("AJ_deleted")
    ended.assert_succeeded("AJ_deleted")


def test_a_worker_that_drains_on_sigterm_loses_nothing(ended: Shop) -> None:
    """The job that it cuts off in mid-answer is settled by an estimate, and shown."""
    ended.assert_handed_out("AJ_drained", calls=2)
    cut = ended.calls("AJ_drained")[-1]
    assert (cut.stream_end, cut.usage.estimated) == ("cancelled", True)


def test_a_job_that_livekit_has_to_kill_has_handed_out_everything_before(
    cell: Cell, ended: Shop
) -> None:
    """A thread of it hangs, so that it never comes to the end of Python."""
    _only_in_processes(cell, "LiveKit cannot kill a thread")
    ended.assert_handed_out("AJ_hanging", calls=1)
    assert ended.plane.status["AJ_hanging"] == FAILED


def test_a_killed_job_loses_its_last_second_of_telemetry_and_no_spend(
    cell: Cell, ended: Shop
) -> None:
    """SIGKILL in mid-answer: what was settled is shown, the open call is booked with its lease."""
    _only_in_processes(cell, "a job that is killed is the worker that is killed")
    assert len(ended.calls("AJ_killed")) == 2
    assert ended.shown("AJ_killed")
    assert not ended.sink.trace("AJ_killed"), "a root span that nobody has ended"
    ended.assert_open_call_is_booked()


def test_the_cost_of_all_endings_adds_up_at_the_collector(ended: Shop) -> None:
    """What the processes have exported is what they have settled."""
    ended.assert_cost_is_shown()


def test_a_killed_worker_loses_no_spend(cell: Cell, orphaned: Shop) -> None:
    """Its job notices, settles, exports and ends; a thread dies with it, as a killed job does."""
    orphaned.assert_cost_is_shown()
    if cell.processes:
        orphaned.assert_handed_out("AJ_orphan", calls=2)
    else:
        assert len(orphaned.calls("AJ_orphan")) == 1
        assert orphaned.shown("AJ_orphan")
        orphaned.assert_open_call_is_booked()


def _only_in_processes(cell: Cell, reason: str) -> None:
    if not cell.processes:
        pytest.skip(reason)
