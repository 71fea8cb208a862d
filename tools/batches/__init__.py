"""Tools for batches of text requests and their files."""
