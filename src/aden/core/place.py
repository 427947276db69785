"""At which point of an agent's work a request is made."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Ids of what a request belongs to; None where there is no such thing, or nobody said.

    They are for spans and records: no two calls share them all, so no metric is counted by one.
    """

    job_id: str | None = None
    room_id: str | None = None
    """The conversation, as the conventions call it. Not the room's name, nor a participant's
    identity: a caller's number is part of both."""
    participant_id: str | None = None
    """Whom the agent speaks with, by the id of this connection."""
    agent: str | None = None
    """Which of a session's agents."""
    turn_id: str | None = None
    """One step of a turn: each answer of the LLM within it has its own."""
    speech_id: str | None = None
    """The agent's turn, from its first request to the end of what it says."""

    def as_dict(self) -> dict[str, str]:
        """The ids that are there."""
        return {name: said for name in self.__slots__ if (said := getattr(self, name)) is not None}


NOWHERE = Place()
