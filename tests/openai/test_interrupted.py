"""A call whose caller is interrupted by a signal's handler: Ctrl-C, or an alarm."""

import contextvars
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

import aden
from aden import BeforeRequestResult
from aden.instrumentation.active import active_meter
from aden.testing import OpenAIServer
from strikes import AlarmError, Handler, alarm, interrupt, struck

SAID: Any = [{"role": "user", "content": "in 3 tokens"}]


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    """A server without delays, and no Aden after it."""
    with OpenAIServer(ttft_ms=0, token_interval_ms=0) as server:
        yield server
    aden.uninstrument()


@pytest.fixture(autouse=True)
def alarm_is_set() -> Iterator[None]:
    """`alarm` is known by being set for a signal."""
    before = signal.signal(signal.SIGUSR1, alarm)
    yield
    signal.signal(signal.SIGUSR1, before)


def caller(provider: OpenAIServer) -> Callable[[int], object]:
    """Makes a call, whatever it is asked with."""
    client = openai.OpenAI(base_url=provider.base_url, api_key="none", max_retries=0)
    return lambda _: client.chat.completions.create(model="gpt-4o-mini", messages=SAID)


@pytest.mark.parametrize("handler", [interrupt, alarm])
@pytest.mark.parametrize("ledger", ["memory:", "sqlite://{}/ledger.db"])
def test_a_call_that_is_interrupted_holds_nothing_and_its_caller_hears_of_it(
    provider: OpenAIServer, tmp_path: Path, ledger: str, handler: Handler
) -> None:
    """Its lease would be renewed as long as the process lives: nobody comes back to it."""
    aden.instrument(budgets=[aden.Budget("b", 100)], ledger=ledger.format(tmp_path))
    send = caller(provider)
    heard = set()
    # One place is left at which what is current stays so: it may not reach other tests.
    apart = contextvars.copy_context()

    def call(place: int) -> None:
        try:
            send(place)
        except BaseException:
            heard.add(place)
            raise

    call(0)
    places, left_to_leases = 0, 0
    for place in struck(lambda place: apart.run(call, place), every=3, handler=handler, ours=True):
        places += 1
        assert place in heard
        assert soon(nothing_is_kept_open), place
        left_to_leases += not soon(partial(holds_at_most, left_to_leases))
    assert places > 150
    assert left_to_leases <= 1  # between the end of a call and its booking


def soon(is_so: Callable[[], bool]) -> bool:
    """Whether it becomes so within three seconds: SQLite may book a little later."""
    deadline = time.monotonic() + 3
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def nothing_is_kept_open() -> bool:
    """Whether nothing is renewed, nor taken to be on its way."""
    meter = active_meter()
    assert meter is not None
    renewed = any(how_far() is not None for how_far in dict(meter.leases._held).values())
    return not renewed and not meter.on_their_way


def holds_at_most(calls: int) -> bool:
    """Whether no more than so many calls hold something."""
    meter = active_meter()
    assert meter is not None
    return meter.ledger.open_holds() <= calls


def test_an_alarm_ends_a_throttle_and_nothing_is_sent(provider: OpenAIServer) -> None:
    """It may be the task queue's time limit; the throttle would have taken it for our mistake."""
    aden.instrument(
        ledger="memory:", before_request=lambda _p, _c: BeforeRequestResult.throttle(5_000)
    )
    call = caller(provider)
    rings = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    since = time.monotonic()
    rings.start()
    with pytest.raises(AlarmError):
        call(0)
    assert time.monotonic() < since + 4
    assert not provider.requests
