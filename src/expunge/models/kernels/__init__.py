"""Compiled loops: integers and fixed-order floats only, no ``fastmath``, so that every machine gets the same bits.

A class that stands in a compiled signature stays in its module: numba reads an index of its cache before it finds it
out of date, and fails on a class that is not there any more.
"""
