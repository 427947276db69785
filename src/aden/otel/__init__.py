"""OpenTelemetry's doors: span processor, providers and exporters, instrumentor, exit."""
