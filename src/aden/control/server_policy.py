"""The policy that an Aden server gives: read, put in force in one assignment, kept on disk."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from aden.budgets.budget import Mode
from aden.budgets.policy import Policy
from aden.control.entry import Entry
from aden.control.kept_policy import KeptPolicy, PolicyDrawer
from aden.control.policy_document import (
    MAX_BYTES,
    PolicyDocument,
    load_json,
    read_document,
    read_spent,
)
from aden.core.decision import Decision
from aden.core.window import Window
from aden.errors import ConfigurationError, LedgerError
from aden.ledger.protocol import Charge, Ledger

logger = logging.getLogger("aden.control")

MONTH = Window("month")
NEW_MONTH_S = 120.0
"""So long after a month's beginning a server's figures may still be those of the month before."""
KEEP_EVERY_S = 600.0
"""How often figures that changed are kept on disk; changed rules are kept at once."""
_MISSING = Decision(
    "block",
    "unavailable",
    "policy",
    "no policy has come from the Aden server yet, and none is kept on disk; look at ADEN_API_URL"
    " and ADEN_API_KEY (aden doctor), or set ADEN_FAIL_OPEN=true to let requests through"
    " meanwhile, or ADEN_BUDGETS or budgets=[] to do without the server's budgets",
)
_FIGURES = ("spent", "current_spend_usd", "analytics")
_STAMPS = ("updated_at", "version")


@dataclass(frozen=True, slots=True)
class Current:
    """What is known of the server's policy; replaced whole."""

    policy: Policy
    source: str | None = None
    """``server | push | disk``; None: nothing has been heard."""
    id: str = "default"
    name: str = ""
    version: str | None = None
    """The server's own word."""
    at: float | None = None
    """Unix seconds, by our clock, at which the server last said so."""


class ServerPolicy:
    """Holds the last good policy, whatever comes.

    Args:
        drawer: Where the last good document is kept.
        mode: Of the policies that are made.
        ledger: Is told what the server knows to be spent.
        accept: Called with each policy whose rules are not those of the one before; it may refuse
            the policy by raising `ConfigurationError`.
        in_force: Whether requests are decided by it; else it is only read and shown.
    """

    def __init__(
        self,
        drawer: PolicyDrawer,
        mode: Mode,
        ledger: Ledger,
        accept: Callable[[Policy], object],
        *,
        in_force: bool,
    ) -> None:
        self._mode = mode
        self._in_force = in_force
        self._ledger = ledger
        self._accept = accept
        self.skew_s = 0.0
        """The server's clock minus ours."""
        self.ledger_error: str | None = None
        self._drawer = drawer
        self._document: object = None
        self._rules: str | None = None
        self._kept_at = 0.0
        self.begin()
        self.current = Current(Policy((), mode, missing=_MISSING))
        self._read_drawer()

    def begin(self) -> None:
        """A process begins to use it: a lock that was held at a fork is held for ever."""
        self._lock = threading.RLock()

    def rebind(
        self,
        mode: Mode,
        ledger: Ledger,
        accept: Callable[[Policy], object],
        *,
        in_force: bool,
    ) -> None:
        """Go on under other options.

        Raises:
            ConfigurationError: *accept* refuses the policy. Nothing has changed then.
        """
        with self._lock:
            if in_force and self.is_known:
                accept(self.current.policy)
            self._ledger, self._accept, self._in_force = ledger, accept, in_force
            if mode != self._mode:
                self._mode = mode
                policy = self.current.policy
                if self._document is not None:
                    policy = read_document(self._document, mode).policy
                self.current = replace(self.current, policy=replace(policy, mode=mode))

    @property
    def in_force(self) -> bool:
        """Whether requests are decided by it."""
        return self._in_force

    @property
    def is_known(self) -> bool:
        """Whether there is a policy, of whatever age."""
        return self.current.policy.missing is None

    def heard(self, body: bytes, at: float | None) -> None:
        """The server answered with a document.

        Args:
            body: As it came.
            at: The server's clock, unix seconds, where it said.

        Raises:
            ConfigurationError: It is not valid. The last good policy stays.
        """
        self._heard(load_json(body), body.decode("utf-8", "replace"), "server", at)

    def pushed(self, document: object) -> None:
        """The server pushed a document.

        Raises:
            ConfigurationError: It is not valid. The last good policy stays.
        """
        self._heard(document, _text(document), "push", None)

    def heard_budgets(self, budgets: object) -> None:
        """The server pushed its budgets alone: the rest of the document stays.

        Raises:
            ConfigurationError: They are not valid, or there is no document that they belong to.
        """
        if not isinstance(self._document, dict):
            raise ConfigurationError("budget_policy", "budgets", "a policy before its budgets")
        document = {**self._document, "budgets": budgets}
        self._heard(document, _text(document), "push", None)

    def confirmed(self) -> None:
        """The server said that the document is still the one that it sent."""
        self.current = replace(self.current, source="server", at=time.time())

    def nothing_there(self) -> None:
        """There is no control plane at that URL, so there is no policy to wait for."""
        if not self.is_known:
            self.current = Current(Policy((), self._mode), "server", at=time.time())

    def _heard(self, document: object, text: str, source: str, at: float | None) -> None:
        with self._lock:
            self._take(document, text, source, at)

    def _take(self, document: object, text: str, source: str, at: float | None) -> None:
        rules = _rules_of(document)
        spent = read_spent(document)
        changed = rules != self._rules
        read = read_document(document, self._mode) if changed else None
        self._true_up(spent, time.time() + self.skew_s if at is None else at)
        if read is not None:
            self._put_in_force(read, source, time.time())
        else:  # the same rules: what was worked out for them is kept
            version = Entry(document, "policy").text("version") or self.current.version
            self.current = replace(self.current, source=source, version=version, at=time.time())
        self._document, self._rules = document, rules
        if changed or time.time() - self._kept_at >= KEEP_EVERY_S:
            self._keep(KeptPolicy(text, time.time()))

    def _put_in_force(self, document: PolicyDocument, source: str, at: float) -> None:
        if self._in_force:
            self._accept(document.policy)
        self.current = Current(
            document.policy, source, document.id, document.name, document.version, at
        )

    def _true_up(self, spent: Mapping[str, int], server_time: float) -> None:
        """Book what the server knows to be spent beyond what the ledger knows.

        The larger of the two figures counts: the ledger's grows with each call, the server's also
        with those of hosts that have another ledger.
        """
        month = MONTH.at(server_time)
        if not self._in_force or month.id != MONTH.at(server_time - NEW_MONTH_S).id:
            return
        told = [Charge(budget, month.id, amount) for budget, amount in spent.items() if amount]
        try:
            if told:
                self._ledger.true_up(told)
            self.ledger_error = None
        except LedgerError as error:
            self.ledger_error = f"the server's figures could not be booked: {error}"

    def _read_drawer(self) -> None:
        kept = self._drawer.read()
        if kept is None:
            return
        try:
            document = load_json(kept.body)
            self._put_in_force(read_document(document, self._mode), "disk", kept.at)
            self._document, self._rules = document, _rules_of(document)
            self._kept_at = kept.at
        except ConfigurationError as error:
            logger.warning("aden: the policy kept on disk is not valid any more: %s", error)

    def _keep(self, kept: KeptPolicy) -> None:
        self._kept_at = time.time()
        try:
            self._drawer.write(kept)
        except OSError as error:
            logger.warning("aden: the policy cannot be kept on disk: %s", error)


def _text(document: object) -> str:
    """A document that was parsed already.

    Raises:
        ConfigurationError: It is too large.
    """
    text = json.dumps(document)
    if len(text) > MAX_BYTES:
        raise ConfigurationError("policy", f"{len(text)} bytes", f"at most {MAX_BYTES} bytes")
    return text


def _rules_of(document: object) -> str:
    """All of a document but its figures: what a policy is made of."""
    if not isinstance(document, dict):
        return ""
    rules = {name: value for name, value in document.items() if name not in _STAMPS}
    budgets = rules.get("budgets")
    if isinstance(budgets, list):
        rules["budgets"] = [_without_figures(budget) for budget in budgets]
    return json.dumps(rules, sort_keys=True)


def _without_figures(budget: object) -> object:
    if not isinstance(budget, dict):
        return budget
    return {name: value for name, value in budget.items() if name not in _FIGURES}
