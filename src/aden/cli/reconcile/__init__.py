"""``aden reconcile``: the provider's own usage export against the journal, by model and day."""
