"""A report as a table, as JSON, as CSV, and in the shape that finance teams import."""

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TextIO
from zoneinfo import ZoneInfo

from aden.cli.cells import cell, one_line, width
from aden.cli.spend.report import Report, day_of
from aden.core.line import action_word
from aden.core.money import NANO, format_usd, to_usd
from aden.core.record import CallRecord
from aden.core.sums import Sums

COLUMNS = (
    "calls",
    "refused",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_usd",
    "estimated_usd",
    "unpriced_usd",
    "sent",
)

MIN_KEY, MAX_KEY = 31, 48
"""Columns of a group's name: a session's UUID is shown whole, to be looked for elsewhere."""


def table(made: Report, unconfirmed: int | None) -> str:
    """For people. *unconfirmed*: nano-dollars booked for processes that died, None: not known."""
    word = action_word if made.by == "decision" else str
    rows = [(one_line(word(key)), sums) for key, sums in made.rows()]
    columns = min(MAX_KEY, max([MIN_KEY, *(width(name) for name, _ in rows)]))
    head = f"{made.by:<{columns}} {'calls':>8}{'refused':>9}{'input':>13}{'output':>12}{'cost':>15}"
    lines = [head, "-" * len(head)]
    lines += [_line(cell(name, columns), sums) for name, sums in rows]
    lines += ["-" * len(head), _line(cell("total", columns), made.total), ""]
    lines.append(f"estimated    {_share(made.total.estimated, made.total.cost)}")
    if made.total.unpriced:
        lines.append(
            f"no price     {_share(made.total.unpriced, made.total.cost)}, at dearest rates"
        )
    if unconfirmed is not None:
        lines.append(f"unconfirmed  {format_usd(unconfirmed)} of processes that died")
    if made.confirmed:
        lines.append(f"confirmed    {format_usd(made.confirmed)} of processes that died, besides")
    lines.append(f"last hour    {format_usd(made.last_hour)}")
    lines.append(f"last 24 h    {format_usd(made.last_day)}")
    lines.append(f"this month   {format_usd(made.month)}")
    lines.append(f"  projected  {format_usd(made.projected_month)} at the rate of the last 24 h")
    return "\n".join(lines)


def _line(name: str, sums: Sums) -> str:
    return (
        f"{name} {sums.sent:>8}{sums.refused:>9}{sums.input_tokens:>13,}"
        f"{sums.output_tokens:>12,}{format_usd(sums.cost):>15}"
    )


def _share(part: int, whole: int) -> str:
    return f"{format_usd(part)} ({100 * part / whole if whole else 0:.1f} %)"


def as_json(made: Report, unconfirmed: int | None) -> str:
    """For programs: US dollars as numbers, and exact as nano-dollars."""
    document = {
        "by": made.by,
        "since": _iso(made.since, made.zone),
        "until": _iso(made.until, made.zone),
        "groups": [{made.by: key, **_values(sums)} for key, sums in made.rows()],
        "total": _values(made.total),
        "unconfirmed_usd": None if unconfirmed is None else to_usd(unconfirmed),
        "confirmed_usd": to_usd(made.confirmed),
        "last_hour_usd": to_usd(made.last_hour),
        "last_24h_usd": to_usd(made.last_day),
        "month_usd": to_usd(made.month),
        "projected_month_usd": to_usd(made.projected_month),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _values(sums: Sums) -> dict[str, object]:
    return {
        "calls": sums.calls,
        "sent": sums.sent,
        "refused": sums.refused,
        "input_tokens": sums.input_tokens,
        "cached_tokens": sums.cached_tokens,
        "output_tokens": sums.output_tokens,
        "cost_usd": to_usd(sums.cost),
        "cost_nano_usd": sums.cost,
        "estimated_usd": to_usd(sums.estimated),
        "unpriced_usd": to_usd(sums.unpriced),
    }


def write_csv(made: Report, out: TextIO) -> None:
    """One line a group; amounts in US dollars, exact."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((made.by, *COLUMNS))
    for key, sums in made.rows():
        values = {
            **_values(sums),
            "cost_usd": exact_usd(sums.cost),
            "estimated_usd": exact_usd(sums.estimated),
            "unpriced_usd": exact_usd(sums.unpriced),
        }
        writer.writerow((harmless(key), *(values[column] for column in COLUMNS)))


FOCUS_COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
)
"""FOCUS 1.0, its mandatory columns and those that apply to model calls
(https://focus.finops.org/focus-specification/v1-0/)."""


def write_focus(records: Iterable[CallRecord], account: str, out: TextIO) -> None:
    """A charge for each day, provider, model, customer and feature, days and months in UTC."""
    utc = ZoneInfo("UTC")
    charges: dict[tuple[str, str, str, str, str], Sums] = {}
    for record in records:
        who = record.attribution
        customer = who.customer_id or who.tenant_id or ""
        key = (day_of(record, utc), record.provider, record.model, customer, who.feature or "")
        charges.setdefault(key, Sums()).add(record)
    writer = csv.DictWriter(out, FOCUS_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for key, sums in sorted(charges.items()):
        if sums.sent or sums.cost:  # what was refused is no charge
            writer.writerow(_charge(*key, sums, account))


def _consumed(sums: Sums) -> tuple[object, str]:
    """How much of what; speech has no tokens."""
    tokens = sums.input_tokens + sums.output_tokens
    if tokens:
        return tokens, "Tokens"
    if sums.characters:
        return sums.characters, "Characters"
    if sums.connected_ms:
        return f"{Decimal(sums.connected_ms) / 60_000:.6f}", "Minutes"
    return sums.sent, "Requests"


def _charge(
    day: str, provider: str, model: str, customer: str, feature: str, sums: Sums, account: str
) -> dict[str, object]:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    month = start.replace(day=1)
    cost = exact_usd(sums.cost)
    quantity, unit = _consumed(sums)
    tags = {"aden/feature": feature, "aden/estimated_usd": exact_usd(sums.estimated)}
    return {
        "BilledCost": cost,
        "BillingAccountId": harmless(account),
        "BillingAccountName": harmless(account),
        "BillingCurrency": "USD",
        "BillingPeriodStart": _zulu(month),
        "BillingPeriodEnd": _zulu((month + timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{sums.sent_shown} of {model}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _zulu(start),
        "ChargePeriodEnd": _zulu(start + timedelta(days=1)),
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": harmless(provider),
        "ListCost": cost,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ProviderName": harmless(provider),
        "PublisherName": harmless(provider),
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": harmless(provider),
        "SkuId": harmless(model),
        "SubAccountId": harmless(customer),
        "SubAccountName": harmless(customer),
        "Tags": json.dumps({name: value for name, value in tags.items() if value}),
    }


def exact_usd(nano: int) -> str:
    """US dollars as a decimal without rounding."""
    return f"{Decimal(nano) / NANO:.9f}"


def harmless(text: str) -> str:
    """A label that a spreadsheet does not take for a formula (CWE-1236)."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text != "-" else text


def _zulu(then: datetime) -> str:
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def _iso(at: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at, zone).isoformat(timespec="seconds")
