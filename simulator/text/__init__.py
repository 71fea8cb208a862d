"""The simulator's language models."""
