"""Measure what is left: utility, likeness to a retrained model, cost, membership inference; and the report of it all.

Probes take a `Case` and give `Evidence` for each arm: ``before``, ``after``, ``reference`` (retrained without the
records).
"""
