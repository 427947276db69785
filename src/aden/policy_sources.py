"""Where a policy comes from: code, else a file, else an Aden server."""

import contextlib
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aden.budgets.budget import Mode
from aden.budgets.doubts import warn_of_models
from aden.budgets.note import make_known
from aden.budgets.policy import Policy, make_policy
from aden.budgets.watch import PolicyFile
from aden.control.agent import ControlAgent
from aden.control.kept_policy import PolicyDrawer
from aden.control.server import Server
from aden.control.server_policy import ServerPolicy
from aden.core.record import AlertEvent
from aden.errors import ConfigurationError
from aden.ledger import Ledger
from aden.metering.meter import Meter
from aden.options import MeterOptions, check_server
from aden.otel.losses import Losses
from aden.pricing import PriceBook
from aden.settings import Settings

logger = logging.getLogger("aden")

FIRST_POLICY_S = 1.0
"""How long a start waits for a server's first policy, where none is kept on disk."""


@dataclass(frozen=True, slots=True)
class OwnPolicy:
    """The policy that this program brings along."""

    current: Callable[[], Policy]
    has_budgets: bool
    """Now, or after the next edit of its file."""
    file: PolicyFile | None = None

    def make_known(self, ledger: Ledger) -> None:
        """Tell a ledger what the budgets are, now and whenever they change.

        Raises:
            ConfigurationError: It keeps the balances of one in another unit.
        """
        source = None if self.file is None else f"{platform.node()}:{self.file.path.absolute()}"

        def accept(policy: Policy) -> None:
            make_known(ledger, policy.budgets, source, policy.mode)

        accept(self.current())
        if self.file is not None:
            self.file.accept = accept


def own_policy(
    options: MeterOptions, settings: Settings, prices: PriceBook, mode: Mode
) -> OwnPolicy | None:
    """What code or a file says; None where neither says anything.

    Raises:
        ConfigurationError: It is not valid.
    """
    if options.budgets is not None or options.rules is not None:
        policy = make_policy(options.budgets or (), mode, options.rules or ())
        warn_of_models(policy, prices)
        return OwnPolicy(lambda: policy, bool(policy.budgets))
    if settings.budgets_path:
        file = PolicyFile(Path(settings.budgets_path), mode, prices)
        return OwnPolicy(file.current, True, file)
    return None


def control_agent(
    server: Server,
    old: ControlAgent | None,
    ledger: Ledger,
    prices: PriceBook,
    mode: Mode,
    names: tuple[str, str],
    *,
    in_force: bool,
) -> ControlAgent:
    """The agent of this process, which goes on where there is one; it is not started here.

    Args:
        server: Whom it speaks with, if there is none yet.
        old: The agent that is there.
        ledger: Where the server's figures are booked.
        prices: The models that are known, to say which are not.
        mode: Of the server's policy.
        names: Of this program, and the version of this package.
        in_force: Whether requests are decided by the server's policy.

    Raises:
        ConfigurationError: The ledger keeps the balances of one of its budgets in another unit.
    """

    def accept(policy: Policy) -> None:
        make_known(ledger, policy.budgets, f"{server.url} {server.policy_id}", policy.mode)
        warn_of_models(policy, prices)

    if old is not None and old.server == server:
        old.policies.rebind(mode, ledger, accept, in_force=in_force)
        return old
    policies = ServerPolicy(PolicyDrawer(server), mode, ledger, accept, in_force=in_force)
    return ControlAgent(server, policies, *names)


def agent_name(options: MeterOptions) -> str:
    """What a server calls this program, where a call has no agent of its own."""
    named = options.attribution.agent if options.attribution else None
    return named or os.environ.get("OTEL_SERVICE_NAME") or "aden"


def speak_with(control: ControlAgent, meter: Meter, losses: Losses) -> None:
    """Let agent and meter hear of each other; wait a moment for the first policy."""

    def alert(level: str, text: str) -> None:
        meter.dispatcher.put(meter.on_alert, AlertEvent(level, text))

    control.on_alert = alert
    control.on_lost = partial(losses.add, "control")
    meter.tell_server = control.tell
    control.start()
    if control.policies.in_force and not control.policies.is_known:
        control.wait(FIRST_POLICY_S)
        if (missing := control.policies.current.policy.missing) is not None:
            then = "let through" if meter.options.fail_open else "refused"
            why = control.state.last_error or f"no answer within {FIRST_POLICY_S:g} s"
            logger.error("aden: requests are %s: %s (%s)", then, missing.message, why)


def server_in_the_environment() -> tuple[str | None, str | None]:
    """Where telemetry may go although some other setting is wrong."""
    url, key = (
        os.environ.get("ADEN_API_URL", "").strip(),
        os.environ.get("ADEN_API_KEY", "").strip(),
    )
    with contextlib.suppress(ConfigurationError):
        check_server(url, key, "ADEN_API_URL")
        return url or None, key or None
    return None, None
