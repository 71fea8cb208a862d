"""The simulator's batches and their files."""
