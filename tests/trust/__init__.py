"""Tests of the evidence: every proof, note, policy, statement and receipt, and every way to get one wrong."""
