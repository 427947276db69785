"""Values that every other room speaks in: no I/O, no OpenTelemetry, no clock of its own."""
