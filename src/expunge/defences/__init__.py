"""Defences: what stands between a request and the model."""
