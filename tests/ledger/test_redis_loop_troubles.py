"""An event loop that asks a Redis ledger itself, where something comes in between."""

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from ledger_kit import PATIENT_S, ask, charged, figures, finished, granted, line, python
from redis_kit import RedisServer, SlowProxy, Way

from aden.errors import LedgerUnavailable
from aden.ledger.protocol import Grant, Refusal
from aden.ledger.redis import RedisLedger


class Door(Way):
    """A way to the server; once it is shut, who connects anew is not answered.

    Attributes:
        resets: The next answer is withheld, its connection reset and the door shut.
    """

    def __init__(self, port: int) -> None:
        self._is_open = threading.Event()
        self._is_open.set()
        self.resets = False
        self._client: socket.socket | None = None
        super().__init__(port)

    def _serve(self, client: socket.socket) -> None:
        self._client = client
        self._is_open.wait()
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(("127.0.0.1", self._port)) as server,
        ):
            while True:
                ready = select.select([client, server], [], [])[0]
                heard = ready[0].recv(1 << 20)
                if not heard:
                    return
                if ready[0] is server and self.resets:
                    self._is_open.clear()
                    at_once = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                    return
                (client if ready[0] is server else server).sendall(heard)

    def shut(self) -> None:
        """End the connection, and answer no other."""
        self._is_open.clear()
        assert self._client is not None
        self._client.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        """Let all pass again."""
        self.resets = False
        self._is_open.set()

    def close(self) -> None:
        """Take no more connections."""
        self._is_open.set()
        super().close()


@pytest.fixture
def door(own_server: RedisServer) -> Iterator[Door]:
    """A way to the server that can be shut."""
    door = Door(own_server.port)
    yield door
    door.close()


INTERRUPTED = """
import asyncio, contextlib, random, signal, sys, time
from ledger_kit import *

def interrupt(*_):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt

def asked(number, call):
    return ask(f"{call}", line(f"b{number}", 1, 10**9))

def check(number, answer):
    global checked
    assert granted(answer).balances[0].settled == number, "another's answer"
    checked += 1

async def calls():
    for call in range(60):
        number = random.randrange(20)
        check(number, await ledger.areserve(asked(number, call)))

armed, checked = False, 0
signal.signal(signal.SIGPROF, interrupt)
ledger = RedisLedger(sys.argv[1], deadline_s=PATIENT_S)
for number in range(20):
    ledger.settle(charged(f"first {number}", number, f"b{number}"))
assert ledger.flush(5)

end = time.monotonic() + 3
while time.monotonic() < end:
    loop = asyncio.new_event_loop()
    armed = True
    try:
        signal.setitimer(signal.ITIMER_PROF, random.uniform(0.0001, 0.004))
        loop.run_until_complete(calls())
    except KeyboardInterrupt:
        pass
    armed = False
    signal.setitimer(signal.ITIMER_PROF, 0)
    asyncio._set_running_loop(None)
    with contextlib.suppress(RuntimeError):  # so it is where asyncio itself was interrupted
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    number = random.randrange(20)
    check(number, ledger.reserve(asked(number, "sync")))
ledger.close()
print(checked)
"""


def test_who_is_interrupted_in_mid_call_mixes_up_no_answers_and_stops_nobody(
    redis_server: RedisServer,
) -> None:
    """Ctrl-C in a notebook, an alarm, SystemExit at SIGTERM: hundreds, each at another moment."""
    assert int(finished(python(INTERRUPTED, redis_server.url()))) > 100


async def test_a_loop_does_not_wait_for_the_answer_to_another_question(
    redis_server: RedisServer,
) -> None:
    """Where the thread was quicker than the loop, which sees that there was something to read."""
    proxy = SlowProxy(redis_server.port, 0.2)
    ledger = RedisLedger(proxy.url(), deadline_s=PATIENT_S)
    first = asyncio.create_task(ledger.areserve(ask("first", line(amount=1))))
    await asyncio.sleep(0)
    time.sleep(0.3)  # its answer is there
    ledger.settle(charged("nobody", 1))
    asyncio.get_running_loop().call_soon(ledger.flush, 5)  # now the thread has read it
    second = asyncio.create_task(ledger.areserve(ask("second", line(amount=1))))
    await asyncio.sleep(0)
    started = time.monotonic()
    await asyncio.sleep(0)
    assert time.monotonic() - started < 0.1
    for asking in (first, second):
        granted(await asking)
    await asyncio.to_thread(ledger.close)
    proxy.close()


async def left_to_the_thread(
    server: RedisServer, ledger: RedisLedger, after_s: float
) -> "asyncio.Task[Grant | Refusal]":
    """Ask a server that is silent from now on; *after_s* the thread has to wait for the answer."""
    server.signal(signal.SIGSTOP)
    asking = asyncio.create_task(ledger.areserve(ask("a", line(amount=1))))
    await asyncio.sleep(after_s)
    ledger.settle(charged("b", 1))
    return asking


async def test_a_silent_server_is_an_outage_also_where_the_thread_takes_over_late(
    own_server: RedisServer,
) -> None:
    """What counts is how long ago the question was sent."""
    ledger = RedisLedger(own_server.url(), deadline_s=2.0)
    asking = await left_to_the_thread(own_server, ledger, after_s=1.5)
    with pytest.raises(LedgerUnavailable):
        await asking
    own_server.signal(signal.SIGCONT)
    await asyncio.to_thread(ledger.close)


async def test_a_connection_that_is_reset_after_the_server_granted_leaves_nothing_held(
    own_server: RedisServer, door: Door
) -> None:
    """By a load balancer that restarts, say; and the next connection does not come about."""
    ledger = RedisLedger(door.url("door"), deadline_s=1.0)
    granted(await ledger.areserve(ask("first", line(amount=1))))  # may load the scripts
    door.resets = True
    with pytest.raises(LedgerUnavailable):
        await ledger.areserve(ask("second", line(amount=30)))
    behind = RedisLedger(own_server.url("door"), deadline_s=PATIENT_S)
    assert await asyncio.to_thread(figures, behind) == (0, 0, 31)
    door.open()
    deadline = time.monotonic() + 10
    while await asyncio.to_thread(figures, behind) != (0, 0, 1):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await asyncio.to_thread(ledger.close)
    await asyncio.to_thread(behind.close)


async def test_a_connection_that_ends_while_the_thread_waits_for_the_answer_costs_no_cpu(
    own_server: RedisServer, door: Door
) -> None:
    """What has ended can always be read."""
    ledger = RedisLedger(door.url(), deadline_s=1.0)
    asking = await left_to_the_thread(own_server, ledger, after_s=0.01)
    await asyncio.sleep(0.1)  # the thread has taken over
    door.shut()
    before, started = time.process_time(), time.monotonic()
    with pytest.raises(LedgerUnavailable):
        await asking
    assert time.process_time() - before < 0.3 * (time.monotonic() - started)
    own_server.signal(signal.SIGCONT)
    door.open()
    await asyncio.to_thread(ledger.close)


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors, as a GUI's may be."""

    def add_reader(self, *_: object) -> None:
        raise NotImplementedError

    def remove_reader(self, fd: object) -> bool:
        raise NotImplementedError


def test_a_loop_that_watches_no_descriptors_leaves_it_to_the_thread(
    own_redis: RedisLedger,
) -> None:
    """And no descriptor is left open."""
    assert own_redis.flush(5)
    loop = LoopWithoutReaders()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        granted(loop.run_until_complete(own_redis.areserve(ask(f"{number}", line(amount=1)))))
    assert len(os.listdir("/proc/self/fd")) == before
    loop.close()


def test_who_is_given_up_after_its_loop_was_closed_gives_up_quietly(
    own_redis: RedisLedger, own_server: RedisServer
) -> None:
    """There is nobody to be woken; what an exception would say goes to stderr."""
    own_server.signal(signal.SIGSTOP)
    loop = asyncio.new_event_loop()
    asking = own_redis.areserve(ask("gone", line(amount=100)))
    task = loop.create_task(asking)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asking.close()
    own_server.signal(signal.SIGCONT)
    assert own_redis.flush(5)
    granted(own_redis.reserve(ask("next", line(amount=100))))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
