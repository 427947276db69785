"""The composition root: options and environment become one runtime."""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from weakref import WeakSet

from aden.budgets.budget import Mode
from aden.budgets.heard import Heard
from aden.budgets.policy import Policy, make_policy
from aden.control.agent import ControlAgent
from aden.control.server import Server
from aden.core.decision import Decision
from aden.doctor.subject import Subject
from aden.errors import ConfigurationError
from aden.instrumentation.livekit.node import inference_shown
from aden.instrumentation.livekit.who import who_asks
from aden.ledger import Ledger, Reach, default_ledger_url, open_ledger
from aden.ledger.open import check_reach, lost_with_container, shown_url
from aden.metering.dispatch import Dispatcher, is_async
from aden.metering.gate_options import GateOptions
from aden.metering.meter import Meter
from aden.options import MeterOptions, check_server
from aden.otel.arguments import OTelArguments
from aden.otel.providers import Providers, no_export, set_up
from aden.policy_sources import (
    agent_name,
    control_agent,
    own_policy,
    server_in_the_environment,
    speak_with,
)
from aden.precedence import content_options, gate_options, hook
from aden.pricing import PriceBook, price_book
from aden.settings import Settings
from aden.telemetry.content import ContentOptions
from aden.telemetry.telemetry import SHOWS, ShowOptions, Telemetry
from aden.version import aden_version

logger = logging.getLogger("aden")

FLUSH_TIMEOUT_S = 2.0


@dataclass(slots=True)
class Runtime:
    """Everything that one configuration put into this process."""

    options: MeterOptions
    meter: Meter
    providers: Providers
    control: ControlAgent | None = None
    flush_timeout_s: float = FLUSH_TIMEOUT_S
    otel: OTelArguments = field(default_factory=OTelArguments)
    pid: int = field(default_factory=os.getpid)
    ledger_doubt: str | None = None
    before: "WeakSet[Meter]" = field(default_factory=WeakSet)
    """Meters that were in force before and whose calls are not over."""
    _said_lost: set[str] = field(default_factory=set)
    _ended: bool = False

    def flush(self, timeout_s: float | None = None) -> None:
        """Hand out what is still held: settlements, emitters, telemetry; bounded. Never raises."""
        limit = self.flush_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit
        dispatcher = self.meter.dispatcher
        with contextlib.suppress(Exception):
            self.meter.reserver.repeats.report()
            # What destructors queued has to be settled before there is something to hand out; an
            # emitter that hangs leaves time for it all the same.
            told = dispatcher.flush(limit / 2)
            telemetry = self.providers.begin_flush()  # meanwhile, what does not depend on it
            self.meter.ledger.flush(_until(deadline))
            told = told and dispatcher.flush(_until(deadline) / 2)
            if self.control is not None:
                self.control.flush(_until(deadline))
            if not telemetry.wait(deadline):
                self._say_lost(f"telemetry was not taken within {limit:g} s and may be lost")
            if not told and not dispatcher.flush(_until(deadline)):
                what = f"emit_metric or on_alert was not done within {limit:g} s"
                self._say_lost(f"{what}, and what waits for it may be lost")

    def _say_lost(self, what: str) -> None:
        if what not in self._said_lost:
            self._said_lost.add(what)
            logger.warning("aden: %s; what was spent is in the ledger", what)

    def subject(self) -> Subject:
        """What the doctor looks at."""
        return Subject(
            aden_version(),
            self.options,
            self.meter,
            self.providers,
            self.control,
            self.ledger_doubt,
        )

    def end(self) -> None:
        """The process ends: end the spans that are open, then flush. Never raises."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(Exception):
            for meter in (*self.before, self.meter):
                meter.settle_all()
            self.providers.end_open_spans()
        self.flush()
        with contextlib.suppress(Exception):
            self.providers.give_up()


def _until(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def compose(
    options: MeterOptions, settings: Settings, otel: OTelArguments, old: Runtime | None
) -> Runtime:
    """Make a runtime; what *old* has and the new one needs as well is taken over.

    Raises:
        ConfigurationError: A setting is wrong. Nothing has changed then.
    """
    server = _server(options, settings)
    mode = cast("Mode", options.mode or settings.mode or "enforce")
    prices = price_book(
        options.prices or settings.prices_path, "prices" if options.prices else "ADEN_PRICES"
    )
    own = own_policy(options, settings, prices, mode)
    has_budgets = own.has_budgets if own else server is not None
    ledger, doubt = _ledger(options, settings, has_budgets, old)
    control = None
    try:
        if own is not None:
            own.make_known(ledger)
        if server is not None:
            running = old.control if old else None
            names = (agent_name(options), aden_version())
            control = control_agent(
                server, running, ledger, prices, mode, names, in_force=own is None
            )
    except ConfigurationError:
        if old is None or ledger is not old.meter.ledger:
            ledger.close()
        raise
    providers = _providers(
        *_named_server(options, settings), otel, livekit_metrics=bool(settings.livekit_metrics)
    )
    nothing = make_policy((), mode)
    policy = own.current if own else control.policy if control else lambda: nothing
    meter = _meter(options, settings, otel, providers, policy, ledger, prices, old)
    before: WeakSet[Meter] = WeakSet()
    if old is not None:
        before |= old.before | {old.meter}
        if ledger is old.meter.ledger:
            meter.take_over(old.meter)
    meter.prices.load()
    if control is not None:
        speak_with(control, meter, providers.losses)
    _say_in_force(meter)
    limit = FLUSH_TIMEOUT_S if settings.flush_timeout_s is None else settings.flush_timeout_s
    return Runtime(
        options, meter, providers, control, limit, otel, ledger_doubt=doubt, before=before
    )


def _meter(
    options: MeterOptions,
    settings: Settings,
    otel: OTelArguments,
    providers: Providers,
    policy: Callable[[], Policy],
    ledger: Ledger,
    prices: PriceBook,
    old: Runtime | None,
) -> Meter:
    before_request = hook(options, settings)
    shows = ShowOptions(proposed_cost="gen_ai_cost" in settings.semconv_opt_in)
    return Meter(
        policy=policy,
        ledger=ledger,
        telemetry=_telemetry(otel, providers, content_options(options, settings), shows),
        dispatcher=old.meter.dispatcher if old else Dispatcher(),
        options=gate_options(options, settings),
        before_request=before_request,
        hook_is_async=is_async(before_request),
        emit_metric=options.emit_metric,
        on_alert=options.on_alert,
        prices=prices,
        who_asks=who_asks,
    )


def _say_in_force(meter: Meter) -> None:
    current = meter.policy()
    logger.info(
        "aden: %d budget(s) (policy %s, %s), ledger %s, which reaches the %s",
        len(current.budgets),
        current.version,
        current.mode,
        meter.ledger.url,
        meter.ledger.reach,
    )


def _named_server(options: MeterOptions, settings: Settings) -> tuple[str | None, str | None]:
    """URL and key, each of which may be missing."""
    return options.server_url or settings.api_url, options.api_key or settings.api_key


def _server(options: MeterOptions, settings: Settings) -> Server | None:
    """The Aden server to speak with; None where there is none, or no key for it.

    Raises:
        ConfigurationError: It cannot be reached so, or the key would be shown to the network.
    """
    url, key = _named_server(options, settings)
    check_server(url, key, "server_url" if options.server_url else "ADEN_API_URL")
    if url and key:
        return Server.at(url, key, options.policy_id or settings.policy_id)
    if url or key:
        missing = "api_key (ADEN_API_KEY)" if url else "server_url (ADEN_API_URL)"
        logger.warning("aden: no %s: nothing is sent to an Aden server", missing)
    return None


def compose_misconfigured(error: ConfigurationError, *, fail_open: bool) -> Runtime:
    """A runtime whose gate refuses every request, or with *fail_open* lets it through."""
    refusal = Decision("block", "misconfigured", "settings", str(error))
    providers = _providers(*server_in_the_environment(), OTelArguments())
    nothing = Policy(missing=refusal)
    telemetry = _telemetry(OTelArguments(), providers, ContentOptions())
    ledger, options = open_ledger("memory:"), GateOptions(fail_open, heard=_heard_at_least())
    meter = Meter(lambda: nothing, ledger, telemetry, Dispatcher(), options, who_asks=who_asks)
    return Runtime(MeterOptions(), meter, providers)


def _heard_at_least() -> Heard:
    """The operator's words to a refused caller, where it is another setting that is wrong."""
    try:
        return gate_options(MeterOptions(), Settings.from_env(os.environ)).heard
    except ConfigurationError:
        return Heard()


def _providers(
    url: str | None,
    key: str | None,
    otel: OTelArguments,
    *,
    livekit_metrics: bool = False,
) -> Providers:
    try:
        return set_up(
            url,
            key,
            otel.tracer_provider,
            otel.meter_provider,
            livekit_metrics=livekit_metrics,
        )
    except Exception:
        logger.exception("aden: telemetry could not be set up, nothing is exported; budgets hold")
        return no_export()


def _ledger(
    options: MeterOptions, settings: Settings, has_budgets: bool, old: Runtime | None
) -> tuple[Ledger, str | None]:
    """The ledger, and why it will not last."""
    doubt = None
    reach = cast("Reach", settings.ledger_reach or "process")
    url = options.ledger or settings.ledger
    if url is None:
        url = default_ledger_url() if has_budgets else "memory:"
        if doubt := lost_with_container(url):
            logger.warning("aden: %s", doubt)
    if old is not None and old.meter.ledger.url == shown_url(url):
        check_reach(old.meter.ledger, reach)
        return old.meter.ledger, doubt
    setting = "ledger" if settings.ledger is None or options.ledger else "ADEN_LEDGER"
    return open_ledger(url, reach, setting=setting), doubt


def _telemetry(
    otel: OTelArguments,
    providers: Providers,
    content: ContentOptions,
    shows: ShowOptions = SHOWS,
) -> Telemetry:
    made = Telemetry(
        aden_version(),
        tracer_provider=otel.tracer_provider,
        counted_in=providers.counted_in,
        logger_provider=otel.logger_provider or providers.logger,
        completion_hook=otel.completion_hook,
        content=content,
        shows=shows,
    )
    made.opened = inference_shown
    return made
