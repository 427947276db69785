"""Events: one for each refusal (refusals that repeat are one), one for a session's bill."""

from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber, get_logger

from aden.core.record import CallRecord
from aden.errors import RefusalDetails
from aden.telemetry import names
from aden.telemetry.attributes import Value, of_decision


class Events:
    """Tells of what happens through a logger provider. No content, and no message of a hook."""

    def __init__(self, logger_provider: Any, scope: tuple[str, str, str]) -> None:
        name, version, schema_url = scope
        self._logger = get_logger(name, version, logger_provider, schema_url)

    def emit(self, event: LogRecord) -> None:
        """Emit an event that is made already."""
        self._logger.emit(event)

    def tell(self, record: CallRecord, details: RefusalDetails, span: trace.Span) -> None:
        """Emit the event, of the call's span where it has one."""
        said: dict[str, Value | None] = {
            **of_decision(record.decision),
            names.DECISION_REPEATS: record.repeats if record.repeats > 1 else None,
            names.CALL_ID: record.id,
            names.PROVIDER_NAME: record.provider,
            names.REQUEST_MODEL: record.model or None,
            names.BUDGET_ID: details.budget_id,
            names.BUDGET_SCOPE: details.scope,
            names.LEDGER_REACH: record.reach,
        }
        event = LogRecord(
            event_name=names.EVENT_REFUSAL,
            severity_number=SeverityNumber.WARN,
            attributes={name: value for name, value in said.items() if value is not None},
            context=trace.set_span_in_context(span),
        )
        self._logger.emit(event)
