"""The machine that runs nothing: a played Python and a played shell over a disk in memory."""

__all__: list[str] = []
