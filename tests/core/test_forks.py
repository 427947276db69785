"""What outlives a fork is told of it, each by itself."""

import os

from aden.core.forks import see_through_forks


class _Owner:
    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        self.told: list[str] = []
        see_through_forks(self)

    def before_fork(self) -> None:
        self._told("before")

    def after_fork_in_parent(self) -> None:
        self._told("parent")

    def _told(self, step: str) -> None:
        self.told.append(step)
        if self.fails:
            raise RuntimeError("a mistake of ours")


def test_one_that_fails_does_not_keep_a_fork_from_the_others() -> None:
    """Else a ledger would stay locked in the child for another's mistake."""
    owners = [_Owner(fails=fails) for fails in (True, False, True, False)]
    if (child := os.fork()) == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert [each.told for each in owners] == [["before", "parent"]] * 4
