"""``aden demo``: the guide's agent in real LiveKit job processes, against a local provider."""
