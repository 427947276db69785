"""Who is asking, and whose word counts."""

import asyncio
import enum
import threading
import uuid
from typing import Any

from aden import Attribution, attribution
from aden.core.attribution import current_attribution, from_metadata


def test_an_inner_block_adds_to_and_overrides_the_outer_one() -> None:
    """And the outer one is back when it ends."""
    with attribution(agent="hotel", customer_id="acme", tags=["trial"]):
        with attribution(customer_id="globex", tags=["vip"]) as inner:
            assert inner == Attribution("hotel", None, "globex", tags=("vip", "trial"))
        assert current_attribution().customer_id == "acme"
    assert current_attribution() == Attribution()


async def test_tasks_keep_their_own_attribution() -> None:
    """Fifty sessions in one loop do not mix."""

    async def session(number: int) -> str | None:
        with attribution(session_id=f"s-{number}"):
            await asyncio.sleep(0.001 * (number % 7))
            return current_attribution().session_id

    found = await asyncio.gather(*(session(number) for number in range(50)))
    assert found == [f"s-{number}" for number in range(50)]


def test_a_thread_starts_without_attribution() -> None:
    """What one thread says is not said for another."""
    seen: list[Attribution] = []
    with attribution(agent="hotel"):
        thread = threading.Thread(target=lambda: seen.append(current_attribution()))
        thread.start()
        thread.join()
    assert seen == [Attribution()]


def test_a_request_s_metadata_is_read_as_existing_users_write_it() -> None:
    """Strings, numbers, and tags as a list or with commas; anything else is ignored."""
    metadata = {"agent": "hotel", "user_id": True, "tags": "a, b", "other": object()}
    assert from_metadata(metadata) == Attribution(agent="hotel", tags=("a", "b"))
    assert from_metadata({"customer_id": 7, "tenant_id": {}, "agent": 10**9999}) == Attribution(
        customer_id="7"
    )
    assert from_metadata({"tags": ["x", 3, "", None]}).tags == ("x", "3")
    assert from_metadata({"tags": 5, "agent": ""}) == Attribution()


class Customer(str, enum.Enum):  # noqa: UP042 - its ``str()`` is not its value
    """A program's own list of customers."""

    ACME = "acme"


def test_a_label_stands_for_its_text() -> None:
    """An id is what a program has: a number, a UUID, an Enum; 0 is one too."""
    number = uuid.UUID(int=7)
    labels: Any = {"user_id": 0, "session_id": number, "tags": [3, "vip"]}
    with attribution(customer_id=Customer.ACME, **labels) as who:
        assert who == Attribution(
            customer_id="acme", user_id="0", session_id=str(number), tags=("3", "vip")
        )
    labels = {"tenant_id": ["a"], "tags": "vip"}
    assert Attribution(**labels) == Attribution(tenant_id="['a']", tags=("vip",))
