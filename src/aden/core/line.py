"""A finished call in one line, for people: what emitters and the console exporter print."""

import time

from aden.core.decision import Decision
from aden.core.money import format_usd
from aden.core.record import CallRecord


def pretty_line(record: CallRecord) -> str:
    """``[aden] 12:00:01 job-1/4711  gpt-4o → gpt-4o-mini  in 120 …``, in columns."""
    clock = time.strftime("%H:%M:%S", time.localtime(record.at))
    session = (record.attribution.session_id or "-")[-8:]
    model = record.asked_model
    if record.model != record.asked_model:
        model += f" → {record.model}"
    timing = f"{record.latency_ms:.0f} ms"
    if record.ttft_ms is not None:
        timing = f"ttft {record.ttft_ms:.0f} ms, {timing}"
    share = "" if record.percent_used is None else f"{record.percent_used:.1f} % of "
    columns = (
        f"[aden] {clock} {session}/{record.pid:<7}",
        f"{model:<21}",
        f"{_used(record):<34}",
        f"{'~' if record.usage.estimated else ''}{format_usd(record.cost)}".rjust(10),
        f" {timing:<21}",
        f"{share + record.budget_id if record.budget_id else '':<15}",
        f"{decision_words(record.decision)}{_end(record)}",
    )
    return " ".join(columns).rstrip()


def _used(record: CallRecord) -> str:
    if not record.attempts:
        return "not sent" if record.repeats == 1 else f"{record.repeats} not sent"
    usage = record.usage
    mark = "~" if usage.estimated else ""
    if not usage.in_tokens:
        known = {
            "s heard": _seconds(usage.audio_input_ms),
            "s spoken": _seconds(usage.audio_output_ms),
            "s open": _seconds(usage.session_ms),
            " characters": usage.characters,
            " images": usage.images,
        }
        parts = [f"{mark}{count}{unit}" for unit, count in known.items() if count is not None]
        return " / ".join(parts)
    searches = (usage.web_searches or 0) + (usage.file_searches or 0)
    return (
        f"{mark}{usage.input_tokens or 0} in / {usage.cached_tokens or 0} cached / "
        f"{mark}{usage.output_tokens or 0} out{f' / {searches} searches' if searches else ''}"
    )


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def action_word(action: str) -> str:
    """What people read for an action: the word of `BeforeRequestResult` that asks for it."""
    return {"allow": "proceed", "block": "cancel"}.get(action, action)


def decision_words(decision: Decision, *, delays: bool = True) -> str:
    """What was decided and by whom, in the words of the guide; *delays*: with milliseconds."""
    delay = f" {decision.delay_ms} ms" if delays else ""
    said = action_word(decision.action)
    if decision.source is None:
        return said
    if said == "throttle":
        said += delay
    why = f": {decision.reason}" if decision.reason not in (None, decision.source) else ""
    words = f"{said} (by {decision.source}{why})"
    if decision.action == "degrade" and decision.delay_ms:
        words += f" + throttle{delay}"
        words += f" (by {decision.delay_source})" if decision.delay_source else ""
    return words


def _end(record: CallRecord) -> str:
    if record.error_type is not None and record.decision.action != "block":
        return f"  {record.error_type}"
    if record.stream_end in ("abandoned", "cancelled"):
        return f"  {record.stream_end}"
    return ""
