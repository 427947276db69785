"""How calls are shown: the only room that knows the GenAI conventions.

Nothing here raises into a request: if telemetry fails, the gate still stands and says so once.
"""
