"""The life of one call: planned, decided, sent, read, settled. One core, two thin shells."""
