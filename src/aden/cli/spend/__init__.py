"""``aden spend``: what was spent, on what, by whom, and where it leads."""
