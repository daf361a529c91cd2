"""Exact forgetting against peers: every ratio within one run, every row of ours void unless the bits are a refit's."""
