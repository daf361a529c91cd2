"""Machine unlearning that can be checked."""
