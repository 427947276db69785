"""Who asks, and where: what the framework around a request knows of it."""

from collections.abc import Callable

from aden.core.attribution import NOBODY, Attribution, current_attribution, from_metadata
from aden.core.place import NOWHERE, Place
from aden.core.request import Request
from aden.core.value import value
from aden.metering.gate_options import GateOptions
from aden.metering.session import Session


@value
class Asking:
    """What a framework says of a request that is made inside it."""

    attribution: Attribution = NOBODY
    place: Place = NOWHERE
    session: Session | None = None
    """The job whose calls have budgets of their own, and one bill."""

    speaks: bool = False
    """Whether it is a part of what an agent says or hears: refused, it would be silence."""

    delayed: Callable[[float], None] | None = None
    """Told the seconds for which it is about to wait, where somebody waits for an answer."""

    busy_wait_ms: int = 0
    """How long it waits for a refund, where neither its lane nor the options say otherwise."""

    @property
    def in_session(self) -> bool:
        """Whether a voice agent's session is on, in a job or without one."""
        return self.place is not NOWHERE and self.place != NOWHERE


NOBODY_ASKING = Asking()


def attribution_of(request: Request, asking: Asking, options: GateOptions) -> Attribution:
    """On whose account *request* is made: the operator's word, the process's, the request's own."""
    metadata = from_metadata(request.metadata)
    said = current_attribution().over(asking.attribution)
    if options.trust_request_metadata:
        return metadata.over(said).over(options.attribution)
    return said.over(options.attribution).over(metadata)
