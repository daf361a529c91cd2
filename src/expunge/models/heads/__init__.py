"""Logistic heads learnt by gradient steps of declared constants, whose trajectories can be compared."""
