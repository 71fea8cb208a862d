"""Machines that really run code, isolated or not."""

__all__: list[str] = []
