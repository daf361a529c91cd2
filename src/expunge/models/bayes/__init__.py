"""Naive Bayes on integer counts and sums."""
