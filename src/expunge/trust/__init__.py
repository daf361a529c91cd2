"""Evidence that others can check: keys, signed statements, an append-only log, receipts, verification."""
