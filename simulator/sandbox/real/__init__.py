"""Machines that really run code: with walls around them, or without."""

__all__: list[str] = []
