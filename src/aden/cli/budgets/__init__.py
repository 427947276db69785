"""``aden budgets``: how budgets stand, and what an operator may order."""
