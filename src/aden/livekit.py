"""LiveKit: ``WorkerOptions(prewarm_fnc=aden.livekit.prewarm)``, and the budget of one call."""

import gc
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from aden.budgets.allowance import OnLedgerDown
from aden.budgets.budget import Budget, Mode, Overrun, UnknownPrice
from aden.budgets.heard import Line, Message, OnRefusal
from aden.budgets.ladder import Beyond, Step
from aden.core.bill import SessionBill
from aden.core.limit import Limit
from aden.core.money import Amount
from aden.core.sums import Sums
from aden.errors import ConfigurationError
from aden.instrumentation.active import active_meter
from aden.instrumentation.livekit.heard import RefusedTurn
from aden.instrumentation.livekit.session_budget import Holder, own_budget, session_in
from aden.metering.session import SessionBudget
from aden.options import MeterOptions
from aden.runtime import start_quietly

if TYPE_CHECKING:
    from livekit.agents import AgentSession, JobContext

__all__ = [
    "Line",
    "RefusedTurn",
    "SessionBill",
    "SessionBudget",
    "Sums",
    "prewarm",
    "session_bill",
    "session_budget",
]


logger = logging.getLogger("aden")


def prewarm(process: object = None) -> None:
    """Instrument this worker process. Never raises: an error here would kill the job process.

    A wrong setting arms the gate as ``misconfigured``: it refuses every request, or with
    ``ADEN_FAIL_OPEN=true`` lets it through.

    What the process has loaded by then is taken out of the garbage collector's way, as LiveKit's
    fork server does with what it preloads: looking at all of it would stop a call for 0.1 s.
    """
    start_quietly(MeterOptions())
    _spare_the_collector()


@cache
def _spare_the_collector() -> None:
    """Once a process: in a thread of LiveKit's, later ones would freeze what other jobs use."""
    gc.collect()  # no garbage is kept for good
    gc.freeze()


def session_budget(
    ctx: "JobContext | AgentSession[Any]",
    limit_usd: Amount | None = None,
    *,
    by: Holder = "job",
    participant: str | None = None,
    id: str = "session",  # noqa: A002 - `Budget`'s own word
    name: str = "",
    limit: Limit | None = None,
    window: str = "session",
    timezone: str = "UTC",
    scope: Mapping[str, object] | None = None,
    ladder: Sequence[Step] = (),
    beyond: Beyond = "cancel",
    mode: Mode = "enforce",
    unknown_price: UnknownPrice = "floor",
    on_ledger_down: OnLedgerDown | None = None,
    overrun: Overrun = "in_flight",
    on_refusal: OnRefusal | None = None,
    refusal_message: Message | None = None,
) -> SessionBudget:
    """Give this job a budget: every request that it makes from now on counts against it.

    It holds beside the budgets of the policy, in the place of one with the same id, and until the
    job ends. The same words again give the same budget.

    Args:
        ctx: The job, or an agent session in it.
        limit_usd: US dollars, as of `Budget`; 0 refuses everything that costs.
        by: Whose spend is counted together: ``job``; ``room``, with other agents' jobs in it;
            ``participant``, whom the agent speaks with, in this room, or with a window other than
            ``session`` over all of their calls.
        participant: The identity to count by; else whom the session speaks with, or the only one
            who is in the room.
        id: The budget's id in refusals, spans and ledger; another one for a second budget.
        name: As of `Budget`; so are the others.
        limit: Instead of *limit_usd*: ``tokens(n)``, ``requests(n)``, ``seconds(n)``.
        window: ``session``, its whole life, or any other of `Budget`.
        timezone: Of a calendar window.
        scope: Which of the job's requests count, such as ``{"model": "gpt-4o*"}``; None: all.
        ladder: Steps on the way to the limit.
        beyond: What happens at the limit.
        mode: ``enforce | observe | off``.
        unknown_price: What to do with a model that has no known price.
        on_ledger_down: What happens while the ledger does not answer.
        overrun: ``in_flight | never``.
        on_refusal: What the caller hears where it refuses; None: as the process says.
        refusal_message: What is said then; None: as the process says.

    Returns:
        What is left of it, at any time.

    Raises:
        ConfigurationError: An argument is wrong, Aden is not instrumented, the job has ended, or
            has another budget of that id.
    """
    meter = active_meter()
    if meter is None:
        allowed = "a call after aden.instrument() or aden.livekit.prewarm()"
        raise ConfigurationError("session_budget", "no instrumentation", allowed)
    given: dict[str, Any] = {} if limit is None else {"limit": limit}
    budget = Budget(
        id,
        limit_usd,
        window,
        timezone,
        name,
        scope or {},
        ladder,
        mode,
        unknown_price,
        beyond=beyond,
        on_ledger_down=on_ledger_down,
        overrun=overrun,
        on_refusal=on_refusal,
        refusal_message=refusal_message,
        **given,
    )
    own = own_budget(ctx, budget, by, participant)
    if by != "job" and meter.ledger.reach == "process":
        _say_alone(by)
    return session_in(ctx).add(own, meter)


@cache
def _say_alone(by: Holder) -> None:
    """Once a process."""
    logger.warning(
        "aden: a session budget by %s counts in this process alone: its ledger is memory:; name one"
        " that processes share in ADEN_LEDGER, such as sqlite:///var/lib/aden/ledger.db",
        by,
    )


def session_bill(ctx: "JobContext | AgentSession[Any]") -> SessionBill:
    """What the calls of this job came to so far: by component, model and turn.

    Raises:
        ConfigurationError: *ctx* is something else, or an agent session outside of a job.
    """
    return session_in(ctx).bill()
