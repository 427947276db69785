"""An alarm is told from a mistake of ours, however a program has set it."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from aden.core.interruption import interrupts


class Alarm:
    """Handlers of several kinds."""

    def ring(self, _signum: int, _frame: object) -> None:
        """A method."""
        raise TimeoutError

    def __call__(self, signum: int, frame: object) -> None:
        """An object that is called."""
        self.ring(signum, frame)


def ring(_signum: int, _frame: object) -> None:
    """A function."""
    raise TimeoutError


def ring_as(error: type[Exception], _signum: int, _frame: object) -> None:
    """A function that is told what to raise."""
    raise error


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    "handler",
    [ring, Alarm().ring, Alarm(), partial(ring_as, ValueError)],
    ids=["a function", "a method", "an object", "a partial"],
)
def test_what_a_handler_raises_interrupts(handler: Callable[[int, object], None]) -> None:
    """Its frame stands in the traceback, whatever it raised."""
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises((TimeoutError, ValueError)) as raised:
        os.kill(os.getpid(), signal.SIGUSR1)
    assert interrupts(raised.value)


def test_what_our_own_code_raises_does_not() -> None:
    """Also where it is of an alarm's class, and where handlers are set."""
    signal.signal(signal.SIGUSR1, ring)
    with pytest.raises(TimeoutError) as raised:
        ring_as(TimeoutError, 0, None)
    assert not interrupts(raised.value)
    assert not interrupts(ValueError())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_is_no_exception_of_a_program_always_does(error: BaseException) -> None:
    """Nobody may keep it."""
    assert interrupts(error)
