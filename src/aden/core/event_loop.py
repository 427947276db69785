"""The event loop of the thread that asks."""

import asyncio


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread; None where none runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
