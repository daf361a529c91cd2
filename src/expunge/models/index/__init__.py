"""Vector indexes that forget exactly: flat, in keyed buckets, and graphs; and what a foreign index leaves behind.

Nothing is estimated from the vectors: each is kept as whole numbers with an exponent of its own, and where it lies is
a keyed hash of its owner or of itself. Forgetting one therefore moves no other.

Source: spec XL07.
"""
