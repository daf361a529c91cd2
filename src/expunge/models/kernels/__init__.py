"""Compiled loops: integers and fixed-order floats only, no ``fastmath``, so that every machine gets the same bits."""
