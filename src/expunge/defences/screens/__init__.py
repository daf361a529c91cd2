"""Screens: each judges a request before anything is forgotten."""
