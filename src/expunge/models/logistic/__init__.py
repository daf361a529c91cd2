"""Logistic regression that forgets within a certified budget."""
