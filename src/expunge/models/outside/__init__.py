"""Estimators of other libraries as learners."""
