"""The three verbs of the package: instrument, flush, uninstrument."""

from typing import Any

from aden.errors import ConfigurationError, did_you_mean
from aden.options import OPTION_NAMES, MeterOptions


def instrument(options: MeterOptions | None = None, **keywords: Any) -> None:
    """Decide, meter and show every request of this process to a model provider.

    Call it in each worker process, for LiveKit in the worker's prewarm function. A second call
    puts the new options in force.

    Args:
        options: The settings; or give them as keywords.
        **keywords: Fields of `MeterOptions`.

    Raises:
        ConfigurationError: A setting is wrong; the message names it, its value, what is allowed.
    """
    from aden.runtime import start

    start(merge_options(options, keywords))


def uninstrument() -> None:
    """Take everything back. Spend that is booked stays booked."""
    from aden.runtime import stop

    stop()


def flush(timeout_s: float | None = None) -> None:
    """Hand out what this process still holds: settlements, emitted calls, telemetry.

    Args:
        timeout_s: Seconds at most; None: as ``ADEN_FLUSH_TIMEOUT`` says, else 2.
    """
    from aden.runtime import current_runtime

    runtime = current_runtime()
    if runtime is not None:
        runtime.flush(timeout_s)


def merge_options(options: MeterOptions | None, keywords: dict[str, Any]) -> MeterOptions:
    """Options given as an object or as keywords.

    Raises:
        ConfigurationError: Both were given, or a keyword is no option.
    """
    for name, value in keywords.items():
        if name not in OPTION_NAMES:
            allowed = "one of " + ", ".join(OPTION_NAMES) + did_you_mean(name, OPTION_NAMES)
            raise ConfigurationError(name, value, allowed)
    if options is None:
        return MeterOptions(**keywords)
    if not isinstance(options, MeterOptions):
        raise ConfigurationError("options", options, "a MeterOptions object")
    if keywords:
        raise ConfigurationError("options", sorted(keywords), "an object or keywords, not both")
    return options
