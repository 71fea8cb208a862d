"""Tools that ask language models."""
