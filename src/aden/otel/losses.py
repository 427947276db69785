"""Telemetry that did not arrive: counted by cause, and said with what a person can do about it."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from aden.core.forks import see_through_forks
from aden.otel.destinations import Signal
from aden.telemetry import names

logger = logging.getLogger("aden.otel")

ITEMS: Mapping[Signal, str] = {"traces": "spans", "metrics": "data points", "logs": "events"}
SAY_AGAIN_S = 60.0
HINTS: Mapping[str, str] = {
    "queue_full": "more came than could be sent: sample, or raise OTEL_BSP_MAX_QUEUE_SIZE",
    "rejected": "the endpoint took the rest of the batch and left these out",
    "http_400": "the endpoint does not understand what is sent: does it speak OTLP over HTTP?",
    "http_401": "the key is not accepted: look at ADEN_API_KEY or OTEL_EXPORTER_OTLP_HEADERS",
    "http_403": "the key may not write there: look at ADEN_API_KEY or OTEL_EXPORTER_OTLP_HEADERS",
    "http_404": "nothing is served there: ADEN_API_URL is a base URL, to which /v1/… is added",
    "http_413": "batches are too large: lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "http_429": "the endpoint throttles",
    "redirected": "the endpoint answers with a redirect, which is not followed: name its target",
    "not_otlp": "the endpoint answers with something else than OTLP: is it a web page?",
    "timeout": "the endpoint accepts and does not answer in time",
    "connection": "the endpoint cannot be reached",
    "certificate": "the endpoint's certificate is not trusted: name a file of certificates in"
    " OTEL_EXPORTER_OTLP_CERTIFICATE, for an Aden server in SSL_CERT_FILE",
    "tls": "no TLS connection comes about: does the endpoint speak https?",
    "proxy": "the environment's proxy cannot be used: look at HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
    "bad_header": "a header cannot be sent: look at OTEL_EXPORTER_OTLP_HEADERS",
    "bad_url": "the endpoint is no URL such as https://host:4318/v1/traces",
}
"""What to do, by cause. Causes of other statuses are ``http_<status>``; ``other`` is the rest."""


class Losses:
    """Counts of one process; a forked child begins at zero."""

    def __init__(self) -> None:
        self.after_fork_in_child()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Begin at zero."""
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._said: dict[tuple[Signal, str], float] = {}

    def count(self, signal: Signal, cause: str, items: int, where: str, detail: str = "") -> None:
        """Items of a signal were lost. Never raises."""
        if items <= 0:
            return
        self.add(signal, cause, items)
        key, now = (signal, cause), time.monotonic()
        with self._lock:
            if now - self._said.get(key, -SAY_AGAIN_S) < SAY_AGAIN_S:
                return
            self._said[key] = now
        hint = HINTS.get(cause, detail or "the endpoint failed")
        said = f" ({detail})" if detail and cause in HINTS else ""
        logger.warning(
            "aden: %d %s were not taken by %s: %s: %s%s",
            items,
            ITEMS[signal],
            where,
            cause.replace("_", " "),
            hint,
            said,
        )

    def add(self, signal: str, cause: str, items: int) -> None:
        """As `count`, where somebody else says it. ``control``: events for an Aden server."""
        with self._lock:
            self._counts[signal, cause] = self._counts.get((signal, cause), 0) + items

    def totals(self) -> Mapping[tuple[str, str], int]:
        """What was lost so far, by signal and cause."""
        with self._lock:
            return dict(self._counts)

    def observe(self, _options: CallbackOptions) -> Iterator[Observation]:
        """The same, for an OpenTelemetry instrument."""
        for (signal, cause), items in self.totals().items():
            yield Observation(items, {names.LOST_SIGNAL: signal, names.LOST_CAUSE: cause})


_losses: Losses | None = None


def show_losses(losses: Losses, meter_providers: Iterable[MeterProvider]) -> None:
    """Count them as a metric, instead of those that were shown before."""
    global _losses  # noqa: PLW0603 - the SDK keeps an instrument's first callbacks
    _losses = losses
    for provider in meter_providers:
        provider.get_meter("aden").create_observable_counter(
            names.METRIC_LOST,
            [_observe],
            unit="{item}",
            description="Spans, data points and events that were not delivered.",
        )


def _observe(options: CallbackOptions) -> Iterable[Observation]:
    return _losses.observe(options) if _losses is not None else ()
