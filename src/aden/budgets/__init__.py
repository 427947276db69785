"""Budgets, the policy that they form, and the gate that turns them into decisions."""
