"""The ladder: what happens to requests on the way to a budget's limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from aden.errors import ConfigurationError, did_you_mean

Beyond = Literal["cancel", "degrade", "throttle"]
AlertLevel = Literal["info", "warning", "critical"]

MAX_DELAY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Alert:
    """Call ``on_alert`` when *at* per cent are spent, once a window."""

    at: float
    level: AlertLevel = "warning"
    message: str | None = None

    def __post_init__(self) -> None:
        check_percent("Alert.at", self.at)
        one_of("Alert.level", self.level, get_args(AlertLevel))
        if self.message is not None and not isinstance(self.message, str):
            raise ConfigurationError("Alert.message", self.message, "a string")


@dataclass(frozen=True, slots=True)
class Degrade:
    """From *at* per cent on, send the request to the model *to* instead."""

    at: float
    to: str
    providers: Sequence[str] = ()
    """Only requests to one of these providers; empty: all."""

    def __post_init__(self) -> None:
        check_percent("Degrade.at", self.at)
        if not isinstance(self.to, str) or not self.to:
            raise ConfigurationError("Degrade.to", self.to, "the name of a model")
        named = isinstance(self.providers, list | tuple)
        if not named or not all(isinstance(each, str) and each for each in self.providers):
            allowed = "a list of provider names such as openai"
            raise ConfigurationError("Degrade.providers", self.providers, allowed)
        object.__setattr__(self, "providers", tuple(self.providers))


@dataclass(frozen=True, slots=True)
class Throttle:
    """From *at* per cent on, delay each request by *delay_ms* milliseconds."""

    at: float
    delay_ms: int

    def __post_init__(self) -> None:
        check_percent("Throttle.at", self.at)
        check_delay("Throttle.delay_ms", self.delay_ms)


Step = Alert | Degrade | Throttle


def climb(steps: object, setting: str) -> tuple[Step, ...]:
    """The steps in the order in which they are reached.

    Raises:
        ConfigurationError: Something else stands among them, or they lead in a circle.
    """
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ConfigurationError(setting, steps, "a list of Alert, Degrade and Throttle steps")
    models: set[str] = set()
    for step in steps:
        if not isinstance(step, Step):
            raise ConfigurationError(setting, step, "Alert, Degrade or Throttle")
        if isinstance(step, Degrade):
            if step.to in models:
                raise ConfigurationError(setting, step.to, "each model once: this is a circle")
            models.add(step.to)
    return tuple(sorted(steps, key=lambda step: step.at))


def check_beyond(beyond: object, ladder: Sequence[Step], setting: str) -> None:
    """Refuse to go on beyond a limit by a step that the ladder does not have."""
    one_of(setting, beyond, get_args(Beyond))
    needed = {"degrade": Degrade, "throttle": Throttle}.get(str(beyond))
    if needed and not any(isinstance(step, needed) for step in ladder):
        allowed = f"cancel, or a ladder with a {needed.__name__} step"
        raise ConfigurationError(setting, beyond, allowed)


def check_percent(setting: str, value: object) -> None:
    """Refuse what is no per cent of a limit, and the fraction that was meant as one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 100:  # type: ignore[operator]
        raise ConfigurationError(setting, value, "per cent of the limit, from 0 to 100")
    if 0 < value < 1:  # type: ignore[operator]
        meant = f"per cent of the limit, from 0 to 100; did you mean {value * 100:g}?"  # type: ignore[operator]
        raise ConfigurationError(setting, value, meant)


def check_delay(setting: str, value: object) -> None:
    """Refuse what is no delay that a request can bear."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 0 <= value <= MAX_DELAY_MS:  # type: ignore[operator]
        raise ConfigurationError(setting, value, f"milliseconds from 0 to {MAX_DELAY_MS}")


def one_of(setting: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not among the allowed ones."""
    if value not in allowed:
        raise ConfigurationError(setting, value, " | ".join(allowed) + did_you_mean(value, allowed))
