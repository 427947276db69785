"""Metrics are the service's, not the instance's: else each job process would make series anew."""

import os
from dataclasses import replace

from opentelemetry.sdk.environment_variables import OTEL_RESOURCE_ATTRIBUTES
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource


def of_the_service(data: MetricsData) -> MetricsData:
    """*data* without the instance id that the SDK makes up; one that the user names stays."""
    if SERVICE_INSTANCE_ID in os.environ.get(OTEL_RESOURCE_ATTRIBUTES, ""):
        return data
    return replace(
        data,
        resource_metrics=[
            replace(each, resource=_without_instance(each.resource))
            for each in data.resource_metrics
        ],
    )


def _without_instance(resource: Resource) -> Resource:
    kept = {key: each for key, each in resource.attributes.items() if key != SERVICE_INSTANCE_ID}
    return Resource(kept, resource.schema_url)
