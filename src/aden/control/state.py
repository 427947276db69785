"""What can be said of the control plane at a moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ControlState:
    """What an agent knows and has done; ``aden doctor`` shows it. No field holds a secret."""

    url: str
    instance_id: str
    running: bool
    in_force: bool
    """Whether requests are decided by the server's policy; False: budgets in code or a file are."""
    source: str | None
    """Where the policy came from: ``server | push | disk``; None: there is none yet."""
    policy_id: str
    policy_name: str
    version: str | None
    """The server's own word."""
    budgets: int
    age_s: float | None
    """Seconds since the server last said that this is its policy."""
    last_error: str | None
    """What is wrong now with reaching the server or with what it sends; None: nothing."""
    absent: bool
    """The server answers, but has no control plane: nothing is sent to it."""
    connected: bool
    """Whether it can push."""
    skew_s: float
    """Seconds that its clock is ahead of ours."""
    waiting: int
    """Events that are still to be sent."""
    sent: int
    dropped: int
    """Events that were lost because too many waited."""
    rejected: int
    """Events that the server refused for good."""
