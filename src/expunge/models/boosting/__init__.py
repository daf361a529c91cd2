"""Canonical gradient boosting: learner, model, rounds."""
