"""A block holds for what is made inside it, however the inside is written."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from aden import Attribution, attribution
from aden.core.attribution import current_attribution

ACME = Attribution(customer_id="acme")


@attribution(customer_id="acme")
def who_asks(depth: int = 0) -> Attribution:
    """A function of a program's own, which calls itself."""
    return who_asks(depth - 1) if depth else current_attribution()


@attribution(customer_id="acme")
async def who_asks_later() -> Attribution:
    """The same, in a while."""
    await asyncio.sleep(0)
    return current_attribution()


async def test_a_function_may_be_decorated_sync_or_async() -> None:
    """Each call is a block of its own, also inside another one and beside another one."""
    assert who_asks(3) == ACME
    assert await asyncio.gather(*(who_asks_later() for _ in range(3))) == [ACME] * 3
    with attribution(agent="hotel", customer_id="globex"):
        assert await who_asks_later() == Attribution("hotel", customer_id="acme")
    assert current_attribution() == Attribution()
    assert asyncio.iscoroutinefunction(who_asks_later)
    assert who_asks_later.__name__ == "who_asks_later"


def test_a_decorated_function_runs_in_many_threads() -> None:
    """They do not end each other's blocks."""
    seen: list[Attribution] = []
    threads = [threading.Thread(target=lambda: seen.append(who_asks(50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [ACME] * 8


def test_a_generator_is_not_decorated() -> None:
    """It would run when the block is over, and nothing that it asks would be attributed."""

    def words() -> Iterator[str]:
        yield "word"

    async def later() -> AsyncIterator[str]:
        yield "word"

    for generator in (words, later):
        with pytest.raises(TypeError, match="generator: put the with block inside"):
            attribution(customer_id="acme")(generator)


def test_a_block_may_end_in_another_context_than_it_began() -> None:
    """As FastAPI does it with a sync dependency that yields: the program goes on."""

    def dependency() -> Iterator[Attribution]:
        with attribution(customer_id="acme") as who:
            yield who

    generator = dependency()
    assert contextvars.copy_context().run(next, generator) == ACME
    assert contextvars.copy_context().run(lambda: list(generator)) == []
    assert current_attribution() == Attribution()


def test_a_block_is_entered_once() -> None:
    """Two tasks that shared one would end each other's."""
    block = attribution(customer_id="acme")
    with block, pytest.raises(RuntimeError, match="once"), block:
        pass
