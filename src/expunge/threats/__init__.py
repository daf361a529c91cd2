"""Attacks: what an adversary could do, measured. Each plays inside a `World` that grants what it may touch."""
