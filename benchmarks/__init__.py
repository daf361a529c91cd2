"""Suites against peers; each writes JSON into results/, and the tables of the docs are made from it."""
