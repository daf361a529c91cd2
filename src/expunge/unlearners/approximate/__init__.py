"""Unlearners that promise nothing but what is measured: kind ``empirical``."""
