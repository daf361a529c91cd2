"""Logistic heads learnt by gradient steps of declared constants, so that trajectories with and without records compare."""
