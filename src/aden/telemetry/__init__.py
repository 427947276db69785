"""How calls are shown: the only room that uses ``opentelemetry-util-genai``.

Nothing here raises into a request: if telemetry fails, the gate still stands and says so once.
"""
