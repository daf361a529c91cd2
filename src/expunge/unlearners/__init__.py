"""Unlearners, by what they promise: the folder is the guarantee's kind."""
