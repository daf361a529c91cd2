"""Recommenders: who took what, counted."""
