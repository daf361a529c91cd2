"""Linear models of a graph's nodes."""
