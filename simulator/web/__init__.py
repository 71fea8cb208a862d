"""The simulator's imagined web."""
