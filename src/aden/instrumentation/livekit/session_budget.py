"""Whose a session's own budget is: found from what an agent has in hand."""

import sys
from dataclasses import replace
from typing import Any, Literal, get_args

from aden.budgets.budget import Budget, OwnBudget
from aden.budgets.ladder import one_of
from aden.budgets.scope import ANY, shown
from aden.errors import ConfigurationError
from aden.instrumentation.livekit.job import current_job, session_of, text
from aden.instrumentation.livekit.who import participant_of, pseudonym
from aden.metering.session import Session

Holder = Literal["job", "room", "participant"]
"""Whose calls count together, over processes and jobs that share a ledger."""

_NOT_CONNECTED = (
    "a participant who is there: ask after ctx.connect() and ctx.wait_for_participant(), "
    "or name one, participant='…'"
)


def session_in(given: Any) -> Session:
    """The session of a ``JobContext``, or of an ``AgentSession`` in its job.

    Raises:
        ConfigurationError: It is neither, or is used outside of a job.
    """
    return session_of(_context(given))


def own_budget(given: Any, budget: Budget, by: Holder, participant: str | None) -> OwnBudget:
    """*budget* as that of one job, room or participant.

    Raises:
        ConfigurationError: There is no such job, room or participant, or it is not known which.
    """
    one_of("session_budget.by", by, get_args(Holder))
    if participant is not None and by != "participant":
        raise ConfigurationError("session_budget.participant", participant, "by='participant'")
    if any(wanted is ANY for name, wanted in budget.scope.items() if name != "session"):
        allowed = "what narrows it, such as {'model': 'gpt-4o*'}: it is made for one already"
        raise ConfigurationError("session_budget.scope", dict(budget.scope), allowed)
    context = _context(given)
    holder = _holder(given, context, budget, by, participant)
    window = "total" if by != "job" and budget.window == "session" else budget.window
    narrowed = {name: wanted for name, wanted in budget.scope.items() if wanted is not ANY}
    scope = {**dict.fromkeys(holder, ANY), **narrowed}
    whose = shown(holder) or ""
    # The limit as it is counted: 0.5 and "0.50" are the same words.
    made = replace(budget, limit_usd=None, window=window, scope=scope)
    return OwnBudget(made, f"{budget.id}|{whose}", whose)


def _holder(
    given: Any, context: Any, budget: Budget, by: Holder, participant: str | None
) -> dict[str, str]:
    """The labels by which the ledger tells it apart, as it does those of a policy's templates."""
    account = session_of(context).attribution
    if by == "job":
        return {"session": _there(account.session_id, "ctx.job.id", context.job.id)}
    if by == "participant" and budget.window != "session":
        return {"participant": _person(given, context, participant)}
    here = {"room": _there(account.room_id, "ctx.job.room", text(context.job.room, "name"))}
    if by == "room":
        return here
    return {**here, "participant": _person(given, context, participant)}


def _person(given: Any, context: Any, participant: str | None) -> str:
    identity = _identity(given, context) if participant is None else participant
    if not isinstance(identity, str) or not identity:
        raise ConfigurationError("session_budget.participant", identity, "an identity")
    return pseudonym(identity)


def _there(label: str | None, setting: str, value: object) -> str:
    if not label:
        raise ConfigurationError(f"session_budget: {setting}", value, "one that is not empty")
    return label


def _identity(given: Any, context: Any) -> object:
    """Whom the session speaks with, else the only one who is in the room."""
    session = given if given is not context else getattr(context, "_primary_agent_session", None)
    linked = text(participant_of(session), "identity")
    if linked is not None:
        return linked
    if not context.room.isconnected():
        said = "participant (the room is not connected)"
        raise ConfigurationError("session_budget.by", said, _NOT_CONNECTED)
    kinds = getattr(sys.modules.get("livekit.agents.job"), "DEFAULT_PARTICIPANT_KINDS", ())
    there = [
        each
        for each in context.room.remote_participants.values()
        if not kinds or each.kind in kinds
    ]
    if len(there) != 1:
        said = f"participant ({len(there)} are in the room)"
        raise ConfigurationError("session_budget.by", said, _NOT_CONNECTED)
    return there[0].identity


def _context(given: Any) -> Any:
    """The job that *given* is, or is in."""
    jobs = sys.modules.get("livekit.agents.job")
    if jobs is not None and isinstance(given, jobs.JobContext):
        return given
    sessions = sys.modules.get("livekit.agents.voice.agent_session")
    if sessions is None or not isinstance(given, sessions.AgentSession):
        raise ConfigurationError("ctx", given, "a JobContext or an AgentSession of LiveKit")
    context = current_job()
    if context is None:
        said = "an AgentSession outside of a job"
        raise ConfigurationError("ctx", said, "a JobContext, or an AgentSession in a job")
    return context
