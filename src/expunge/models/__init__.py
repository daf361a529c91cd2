"""Learners and their models; each model remembers what it needs to forget exactly."""
