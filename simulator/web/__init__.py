"""The simulator's invented web."""
