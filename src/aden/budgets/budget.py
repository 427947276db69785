"""A budget: a limit over a window, for a scope, with a ladder of steps on the way to the limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from aden.budgets.allowance import Allowance, OnLedgerDown, read_on_ledger_down
from aden.budgets.heard import Message, OnRefusal, check_message, check_on_refusal
from aden.budgets.ladder import Beyond, Degrade, Step, check_beyond, climb, one_of
from aden.budgets.scope import ANY, MAX_LABEL, agree, read_scope, shown
from aden.core.attribution import Attribution
from aden.core.limit import Limit
from aden.core.money import Amount, parse_usd
from aden.core.request import Request
from aden.core.window import Window
from aden.errors import ConfigurationError

Mode = Literal["enforce", "observe", "off"]
UnknownPrice = Literal["refuse", "floor", "allow"]
Overrun = Literal["in_flight", "never"]

OVERRUN_BEYOND = 'cancel, or overrun="in_flight"'
_NO_LIMIT = Limit(-1)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent, on whose account, over what time.

    Attributes:
        id: Names the budget in the ledger, on spans and in errors.
        limit_usd: US dollars; a decimal string is exact; 0 cancels everything that costs.
        limit: Instead of *limit_usd*, a limit in another unit: ``tokens(n)``, ``requests(n)``,
            ``seconds(n)`` of speech.
        window: ``total | month | week | day | hour``, calendar periods in *timezone*;
            ``session``, each session's whole life; or ``rolling 15m``, at any moment the last
            fifteen minutes (s, m, h, d).
        scope: Whose requests count, such as ``{"customer": "acme"}``; empty: all. `ANY` as the
            value makes one budget for each value of that label.
        ladder: `Alert`, `Degrade` and `Throttle` steps; refusal at 100 per cent is implied.
        beyond: What happens at the limit: ``cancel`` refuses; ``degrade`` goes on with the
            ladder's last model, or as asked where that is cheaper, ``throttle`` goes on with its
            delay, both without a limit.
        mode: ``enforce``; ``observe`` decides and reports but refuses nothing; ``off``.
        unknown_price: What to do with a model that has no known price: ``floor`` takes the
            provider's dearest known rates, ``refuse`` refuses, ``allow`` counts nothing.
        on_ledger_down: What happens while the ledger does not answer: ``refuse``, ``allow``, or
            an `Allowance` that each process may spend unasked; None: `allowed_unasked`.
        overrun: ``in_flight`` holds what a request is likely to cost, so that requests which are
            open already can exceed the limit; ``never`` holds the most that it can cost, and
            lowers the request's cap on its output to what is left.
        on_refusal: What a LiveKit caller hears where this budget refuses; None: as the process
            says (`MeterOptions.on_refusal`).
        refusal_message: What is said then; None: as the process says.
    """

    id: str
    limit_usd: Amount | None = None
    window: str = "total"
    timezone: str = "UTC"
    name: str = ""
    scope: Mapping[str, object] = field(default_factory=dict)
    ladder: Sequence[Step] = ()
    mode: Mode = "enforce"
    unknown_price: UnknownPrice = "floor"
    limit: Limit = _NO_LIMIT
    beyond: Beyond = "cancel"
    on_ledger_down: OnLedgerDown | None = None
    overrun: Overrun = "in_flight"
    on_refusal: OnRefusal | None = field(default=None, repr=False)
    refusal_message: Message | None = field(default=None, repr=False)
    span: Window = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_id(self.id)
        one_of(f"budget {self.id}: mode", self.mode, get_args(Mode))
        one_of(f"budget {self.id}: unknown_price", self.unknown_price, get_args(UnknownPrice))
        one_of(f"budget {self.id}: overrun", self.overrun, get_args(Overrun))
        object.__setattr__(self, "scope", read_scope(self.scope, f"budget {self.id}: scope"))
        object.__setattr__(self, "ladder", climb(self.ladder, f"budget {self.id}: ladder"))
        check_beyond(self.beyond, self.ladder, f"budget {self.id}: beyond")
        if self.overrun == "never" and self.beyond != "cancel":
            raise ConfigurationError(f"budget {self.id}: beyond", self.beyond, OVERRUN_BEYOND)
        if self.on_refusal is not None:
            check_on_refusal(self.on_refusal, f"budget {self.id}: on_refusal")
        if self.refusal_message is not None:
            check_message(self.refusal_message, f"budget {self.id}: refusal_message")
        object.__setattr__(self, "limit", self._read_limit())
        read_on_ledger_down(self.on_ledger_down, self.limit.unit, f"budget {self.id}: ")
        object.__setattr__(self, "span", self._read_window())
        if self.window == "session":  # a budget for each session, over its whole life
            object.__setattr__(self, "scope", {"session": ANY, **self.scope})

    def _read_window(self) -> Window:
        try:
            return Window(self.window, self.timezone)
        except ConfigurationError as error:
            setting = f"budget {self.id}: {error.setting}"
            raise ConfigurationError(setting, error.value, error.allowed) from None

    def _read_limit(self) -> Limit:
        setting = f"budget {self.id}: limit"
        if not isinstance(self.limit, Limit):
            raise ConfigurationError(setting, self.limit, "tokens(n), requests(n) or seconds(n)")
        if self.limit_usd is None and self.limit != _NO_LIMIT:
            return self.limit
        money = Limit(parse_usd(self.limit_usd, f"{setting}_usd"))
        if self.limit not in (_NO_LIMIT, money):
            raise ConfigurationError(setting, self.limit, "limit_usd or limit, not both")
        return money

    def allowed_unasked(self, *, fail_open: bool) -> int | None:
        """What a process may spend while the ledger does not answer; None: without a limit.

        The budget's own word counts. Without one there is no limit with *fail_open*, nor where the
        budget goes on beyond its limit; else it is 1 per cent of the limit, and nothing with
        ``overrun="never"``.
        """
        if isinstance(self.on_ledger_down, Allowance):
            return self.on_ledger_down.limit.amount
        if self.on_ledger_down == "refuse":
            return 0
        if self.on_ledger_down is None and self.overrun == "never":
            return 0
        if self.on_ledger_down == "allow" or fail_open or self.beyond != "cancel":
            return None
        return self.limit.amount // 100

    @property
    def bounds(self) -> bool:
        """Whether the most that a request can cost has to fit; what counts requests knows that."""
        return self.overrun == "never" and self.limit.unit != "requests"

    @property
    def type(self) -> str:
        """``global``, or what the scope names first."""
        return next(iter(self.scope), "global")

    def threshold(self, percent: float) -> int:
        """The spend at which *percent* of the limit are used, in the limit's unit."""
        return -int(-self.limit.amount * percent // 100)

    def percent_used(self, spent: int, limit: int | None = None) -> float:
        """Per cent of the limit, or of the one in force; a limit of 0 is always used up."""
        full = self.limit.amount if limit is None else limit
        return 100.0 * spent / full if full else 100.0


def check_id(given: object) -> None:
    """Refuse an id that a ledger's key or a line of a log cannot hold."""
    text = isinstance(given, str) and given.isprintable() and "|" not in given
    if not text or not 0 < len(given) <= MAX_LABEL:  # type: ignore[arg-type]
        allowed = f"1 to {MAX_LABEL} printable characters without |"
        raise ConfigurationError("budget.id", given, allowed)


@dataclass(frozen=True, slots=True)
class Match:
    """A budget that a request counts against, and the key under which the ledger knows it."""

    budget: Budget
    key: str
    scope: str | None
    ladder: Sequence[Step]
    """The budget's own steps and those of the rules that the request is subject to."""


def matches(budget: Budget, request: Request, attribution: Attribution) -> tuple[Match, ...]:
    """What of a budget a request counts against: nothing unless it is in the budget's scope.

    Of a template one for each value that the request has of the label.
    """
    found = agree(budget.scope, request, attribution)
    if not found:
        return ()
    templated = any(wanted is ANY for wanted in budget.scope.values())
    ladder = tuple(step for step in budget.ladder if concerns(step, request))
    matched = []
    for each in found:
        scope = shown(each)
        key = f"{budget.id}|{scope}" if templated else budget.id
        matched.append(Match(budget, key, scope, ladder))
    return tuple(matched)


@dataclass(frozen=True, slots=True)
class OwnBudget:
    """A budget that all requests of one session count against, whatever labels they carry."""

    budget: Budget
    key: str
    """Under which the ledger knows it."""
    scope: str
    """Whose it is, such as ``session=AJ_1``."""

    def match(self, request: Request, attribution: Attribution) -> Match | None:
        """None where its scope names what the request has not: another model, another provider."""
        named = {name: wanted for name, wanted in self.budget.scope.items() if wanted is not ANY}
        if self.budget.mode == "off" or not agree(named, request, attribution):
            return None
        ladder = tuple(step for step in self.budget.ladder if concerns(step, request))
        return Match(self.budget, self.key, self.scope, ladder)


def concerns(step: object, request: Request) -> bool:
    """False for a degrade to a model of another provider."""
    providers = step.providers if isinstance(step, Degrade) else ()
    return not providers or request.provider in providers
