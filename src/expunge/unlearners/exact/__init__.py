"""Exact unlearners: the model equals one that never saw the records."""
