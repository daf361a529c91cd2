"""The service: one directory that trains, forgets and proves it (embedded now, shared with a server later)."""
