"""Metrics of all instances are one service's, unless somebody names the instances."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource

from aden.otel.service import of_the_service


def collected() -> MetricsData:
    """What a process with one counter exports."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader], resource=Resource.create({"service.name": "hotel"}), shutdown_on_exit=False
    )
    provider.get_meter("test").create_counter("calls").add(1)
    data = reader.get_metrics_data()
    assert data is not None
    return data


def test_an_id_that_was_made_up_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the resource stays, and the data as it is."""
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    data = collected()
    (before,), (after,) = data.resource_metrics, of_the_service(data).resource_metrics
    left_out = set(before.resource.attributes) - set(after.resource.attributes)
    assert left_out == {"service.instance.id"}
    assert after.resource.attributes["service.name"] == "hotel"
    assert after.scope_metrics == before.scope_metrics
    assert "service.instance.id" in before.resource.attributes, "other exporters see it whole"


def test_an_id_that_the_user_names_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a pod of a StatefulSet, of which there are few."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7")
    (resource,) = of_the_service(collected()).resource_metrics
    assert resource.resource.attributes["service.instance.id"] == "pod-7"
