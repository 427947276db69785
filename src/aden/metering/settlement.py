"""The end of a call: price it, book it, write the span, count it, tell the emitters."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aden.budgets import gate
from aden.budgets.budget import Match
from aden.budgets.plan import Plan, binds, counts
from aden.core.failure import error_type
from aden.core.interruption import interrupts
from aden.core.limit import Amounts
from aden.core.money import NanoUSD
from aden.core.record import AlertEvent, CallRecord
from aden.core.usage import NO_USAGE, Usage
from aden.core.window import Window
from aden.errors import RequestCancelledError
from aden.ledger.protocol import Balance, Charge, Grant, Settlement
from aden.metering.alerts import AlertWatch, ClaimedAlert
from aden.metering.call import Call
from aden.metering.pricing import Bill, bill
from aden.metering.repeats import Repeated
from aden.telemetry.spans import NO_ANSWER, NO_SPAN, FrameworkSpan

if TYPE_CHECKING:
    from aden.metering.meter import Meter


_A_DAY = Window("day")
_NOT_PRICED = Bill(Amounts(NanoUSD(0), Usage(estimated=True), 0), "none")


class Settler:
    """Settles calls for a meter. Nothing here raises."""

    def __init__(self, meter: "Meter") -> None:
        self._meter = meter
        self.alerts = AlertWatch(meter)

    def settle(self, call: Call, error: BaseException | None) -> None:
        """Book the call once, however often and from wherever this is called."""
        if not call.ends():
            return
        record = None
        try:
            try:
                error = error or call.failure
                record, charges = self._book(call, error)
            except Exception:
                self._meter.cannot("settlement", "a call could not be priced", trace=True)
                record, charges = self._book_hold(call, error)
            self._tell(call, record, charges, error)
        except BaseException as raised:
            if interrupts(raised):  # nobody will come back to it
                record, _ = self._book_hold(call, error)
                call.span.finish(record, error, NO_ANSWER)
                raise
            self._meter.cannot("settlement", "a call could not be shown", trace=True)
            own = not isinstance(call.span, FrameworkSpan) and call.span.span.is_recording()
            if record is not None and own:  # it may not stay open
                call.span.finish(record, error, NO_ANSWER)
        finally:
            self._meter.leases.drop(call.id)

    def withdraw(self, call: Call) -> None:
        """Nothing was sent and nobody needs to know: release what is held, keep no record."""
        if not call.ends():
            return
        self._meter.on_their_way.pop(call.id, None)
        self._meter.leases.drop(call.id)
        self._meter.ledger.settle(Settlement(call.id))
        self._meter.reserver.settled(call, ())

    def progress(self, call: Call) -> Sequence[int] | None:
        """What the call has cost so far, one amount a hold; a plain call may have cost all.

        None where it is settled.
        """
        if call.state == "settled":
            return None
        outcome = call.outcome
        if not isinstance(outcome, Grant):
            return ()
        if not call.request.stream or not call.attempts:
            return [hold.amount for hold in outcome.holds]
        so_far = bill(call, self._meter.estimator, self._meter.prices)
        return [
            hold.amount if binds(match.budget, call.policy) else charge.amount
            for match, hold, charge in self._by_budget(call, outcome, so_far)
        ]

    def extend(self, call: Call) -> None:
        """The answer outgrows its reservation: hold what it costs by now, and half more."""
        outcome = call.outcome
        if isinstance(outcome, Grant):
            so_far = bill(call, self._meter.estimator, self._meter.prices)
            grown = {
                charge.budget: hold.amount
                if binds(match.budget, call.policy)
                else charge.amount * 3 // 2
                for match, hold, charge in self._by_budget(call, outcome, so_far)
            }
            self._meter.ledger.extend(call.id, list(grown.values()))
            self._meter.reserver.outage.grown(call.id, grown)

    def _by_budget(
        self, call: Call, grant: Grant, billed: Bill
    ) -> Iterable[tuple[Match, Charge, Charge]]:
        """Each matching budget: what is held of it, and what the call comes to."""
        matches = call.plan.matches if call.plan else ()
        return zip(matches, grant.holds, self._charges(call, billed), strict=True)

    def alert(self, call: Call, level: str, message: str) -> None:
        """Raise the alert that a hook asked for."""
        event = AlertEvent(level, message, f"{call.id}:hook", attribution=call.attribution)
        self._meter.dispatcher.put(self._meter.on_alert, event)

    def show(self, call: Call, error: BaseException) -> None:
        """Write a refusal that was answered from memory on the framework's span for it."""
        try:
            billed = bill(call, self._meter.estimator, self._meter.prices)
            call.span.finish(self._record(call, billed, error), error, NO_ANSWER)
        except Exception:
            self._meter.cannot("settlement", "a refusal could not be shown", trace=True)

    def report(self, repeated: Repeated) -> None:
        """Journal, show, count and hand out refusals that were answered from memory, as one."""
        meter, call = self._meter, repeated.first
        try:
            error = call.refuse(repeated.details)
            own_span = call.span is NO_SPAN
            meter.open_span(call)
            record = self._record(call, bill(call, meter.estimator, meter.prices), error)
            record = replace(record, repeats=repeated.count, latency_ms=repeated.latency_ms)
            meter.ledger.settle(Settlement(call.id, (), record))
            if (session := call.session) is not None:
                session.saw(record)
            if own_span:
                call.span.finish(record, error, NO_ANSWER)
            meter.telemetry.refused(record, error.details, call.span)
            meter.telemetry.count(record)
            self._hand_out(record)
        except Exception:
            meter.cannot("settlement", "refusals could not be reported", trace=True)

    def _book(self, call: Call, error: BaseException | None) -> tuple[CallRecord, Sequence[Charge]]:
        meter, output = self._meter, None
        try:
            output = self._learned(call, error)
        except Exception:
            meter.cannot("settlement", "nothing could be learned of a call", trace=True)
        billed = bill(call, meter.estimator, meter.prices)
        record = self._record(call, billed, error)
        charges = self._charges(call, billed)
        meter.ledger.settle(Settlement(call.id, charges, record, output))
        meter.reserver.learned(output)
        return record, charges

    def _book_hold(
        self, call: Call, error: BaseException | None
    ) -> tuple[CallRecord, Sequence[Charge]]:
        """Book what was held; the ledger ignores it where the call is booked already."""
        holds = call.outcome.holds if isinstance(call.outcome, Grant) and call.attempts else ()
        record = self._record(call, _reserved(call), error)
        self._meter.ledger.settle(Settlement(call.id, holds, record))
        return record, holds

    def _tell(
        self,
        call: Call,
        record: CallRecord,
        charges: Sequence[Charge],
        error: BaseException | None,
    ) -> None:
        """Note, show and hand out what is booked: each, whatever becomes of the others."""
        meter = self._meter
        try:
            meter.reserver.settled(call, charges)
            if (session := call.session) is not None:
                session.saw(record)
            if call.plan is not None:
                meter.reserver.fill.saw(call.plan.matches)
        finally:
            try:
                self._show(call, record, error)
            finally:
                self._hand_out(record)
        if call.plan is not None and meter.on_alert is not None:
            self.alerts.ended(call, call.plan)
            self._standing_alerts(call, call.plan)

    def _show(self, call: Call, record: CallRecord, error: BaseException | None) -> None:
        meter, answer = self._meter, call.attempts[-1].answer if call.attempts else NO_ANSWER
        if call.content is not None:
            answer = replace(answer, content=call.content)
        try:
            if proposed := meter.telemetry.proposed(record):
                answer = replace(answer, attributes={**answer.attributes, **proposed})
        finally:
            call.span.finish(record, error, answer)
        if isinstance(error, RequestCancelledError):
            meter.telemetry.refused(record, error.details, call.span)
        frameworks = call.request.operation if isinstance(call.span, FrameworkSpan) else None
        meter.telemetry.count(record, frameworks)

    def _learned(self, call: Call, error: BaseException | None) -> tuple[str, int] | None:
        """Learn from what the provider counted; gives what it teaches about a model's answers."""
        meter, output = self._meter, None
        for attempt in call.attempts:
            attempt.ended_unknown()
            if attempt.doubt is not None:
                meter.complaints.usage(f"{call.model!r:.100} reported {attempt.doubt}")
            elif error is None and attempt.untold:
                meter.complaints.usage(f"{call.model!r:.100} told no usage")
            if attempt.outcome != "reported":
                continue
            sent, usage = attempt.request, attempt.usage
            if usage.input_tokens:
                meter.estimator.report(call.conversation, sent, usage, attempt.sent_at)
                if sent.is_kept:
                    meter.estimator.keep(sent, attempt.response_id, usage)
            if usage.output_tokens:
                model = f"{sent.provider}/{sent.model}"
                output = model, usage.output_tokens // max(1, sent.choices)
        return output

    def _hand_out(self, record: CallRecord) -> None:
        self._meter.dispatcher.put(self._meter.tell_server, record, ours=True)
        self._meter.dispatcher.put(self._meter.emit_metric, record)

    def _charges(self, call: Call, billed: Bill) -> tuple[Charge, ...]:
        """One charge a matching budget, in the window of the reserve."""
        if not call.attempts:
            return ()
        if call.plan is not None:
            matches = call.plan.matches
        else:  # our own code failed before it knew them
            matches = call.policy.matching(call.request, call.attribution)
        if isinstance(call.outcome, Grant):
            windows = [hold.window_id for hold in call.outcome.holds]
        else:
            windows = [match.budget.span.at(call.started_at).id for match in matches]
        charges = []
        for match, window_id in zip(matches, windows, strict=True):
            budget = match.budget
            amount = billed.amounts.of(budget.limit.unit) if counts(budget, billed.source) else 0
            charges.append(Charge(match.key, window_id, amount))
        return tuple(charges)

    def _record(self, call: Call, billed: Bill, error: BaseException | None) -> CallRecord:
        request, last = call.request, call.attempts[-1] if call.attempts else None
        match = _telling(call)
        used = None  # with this call, as far as its reserve could see
        if match and (balance := gate.balance_of(call.outcome, match)):
            amount = billed.amounts.of(match.budget.limit.unit)
            used = gate.percent_used(match.budget, balance, amount)
        context = call.span.span.get_span_context()
        is_shown = context.is_valid
        ttft = None
        if last and last.first_chunk_at is not None:
            ttft = (last.first_chunk_at - last.sent_at) * 1000
        return CallRecord(
            id=call.id,
            at=call.started_at,
            provider=request.provider,
            asked_model=request.model,
            model=call.model,
            usage=billed.amounts.usage if call.attempts else NO_USAGE,
            cost=billed.amounts.usd,
            decision=call.decision,
            observed=call.observed,
            price_source=billed.source,
            attribution=call.attribution,
            component=call.component,
            place=call.place,
            attempts=len(call.attempts),
            stream=request.stream,
            stream_end=call.stream_end,
            ttft_ms=ttft,
            latency_ms=(time.perf_counter() - call.started) * 1000,
            error_type=error_type(error) if error else None,
            budget_id=match.budget.id if match else None,
            percent_used=used,
            reach=call.reach if match else None,
            response_id=last.response_id if last else None,
            response_model=last.response_model if last else None,
            finish_reasons=last.finish_reasons if last else (),
            pid=call.pid,
            trace_id=f"{context.trace_id:032x}" if is_shown else None,
            span_id=f"{context.span_id:016x}" if is_shown else None,
        )

    def _standing_alerts(self, call: Call, plan: Plan) -> None:
        """Alerts of rules that hold always: once a day (UTC), over all processes."""
        day = _A_DAY.at(call.started_at)
        for alert in plan.standing.alerts:
            message = alert.message or "a rule of the policy matches"
            digest = hashlib.sha256(f"{alert.level} {message}".encode()).hexdigest()[:16]
            alone = Balance(f"rule|{digest}", day.id, day.ends_at)
            if self.alerts.is_known(alone, 0):
                continue
            event = AlertEvent(alert.level, message, attribution=call.attribution)
            claimed = ClaimedAlert(self._meter, alone, 0, self.alerts.note)
            self._meter.dispatcher.put(claimed, event, self._meter.on_alert)


def _reserved(call: Call) -> Bill:
    """What it was taken to cost, where it cannot be priced."""
    quote = call.quote or (call.plan.asked if call.plan else None)
    if quote is None or not call.attempts:
        return _NOT_PRICED
    return Bill(quote.amounts, quote.price.source)


def _telling(call: Call) -> Match | None:
    """The budget that decided; where none did, the fullest as the reserve saw them."""
    if call.plan is None:
        return None
    matches = call.plan.matches
    if (named := call.decision.budget_id) is not None:
        matches = tuple(match for match in matches if match.budget.id == named) or matches
    return gate.tightest(matches, call.outcome)
