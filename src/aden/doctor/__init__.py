"""What is in force in this process, and whether it works: `aden doctor`, ``ADEN_DOCTOR=1``."""
