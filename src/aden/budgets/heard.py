"""What a caller hears where the answer of a voice agent is refused or delayed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from aden.budgets.ladder import one_of
from aden.errors import ConfigurationError

OnRefusal = Literal["say", "raise", "hand_over", "close"]
"""What becomes of a turn whose answer is refused. ``say``: the refusal message is the answer.
``raise``: nothing is said, the program acts on the error. ``hand_over``: a function of the program
decides what happens. ``close``: the refusal message is said, and the session ends."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is said, and how."""

    text: str
    """Spoken also where the sound file cannot be played."""
    audio: str | Path | None = None
    """Path of a sound file (WAV, MP3, Ogg) that is played instead of speaking the text."""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ConfigurationError("Line.text", self.text, "a string")
        if self.audio is not None and not Path(self.audio).is_file():
            raise ConfigurationError("Line.audio", str(self.audio), "the path of a sound file")


Message = str | Line | Callable[[Any], object]
"""A line; or a function, sync or async, of the `RefusedTurn` that gives one."""

HandOver = Callable[[Any], object]
"""A function, sync or async, of the `RefusedTurn`. What it gives is said: a line, None for the
refusal message, an empty string for nothing."""

DEFAULT_MESSAGE = "I'm sorry, I can't go on with this call. Please try again later."


@dataclass(frozen=True, slots=True)
class Heard:
    """What the callers of a process hear, where neither the agent nor the budget says otherwise."""

    on_refusal: OnRefusal = "say"
    refusal_message: Message = DEFAULT_MESSAGE
    hand_over: HandOver | None = None
    filler_message: str | None = None
    """Said where a throttle lets the caller wait; None: nothing is."""


def check_on_refusal(given: object, setting: str) -> None:
    """Refuse what is no `OnRefusal`.

    Raises:
        ConfigurationError: It is none of them.
    """
    one_of(setting, given, get_args(OnRefusal))


def check_message(given: object, setting: str) -> None:
    """Refuse what nobody can say.

    Raises:
        ConfigurationError: It is neither a text that says something, alone or in a line, nor a
            function.
    """
    said = given.text if isinstance(given, Line) else given
    if not (said.strip() if isinstance(said, str) else callable(said)):
        raise ConfigurationError(setting, given, "a text, a Line or a function that gives one")
