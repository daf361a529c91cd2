"""Certified unlearners: the model is (ε, δ)-close to one that never saw the records, by a theorem."""
