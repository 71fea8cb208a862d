"""The machine that runs no code of the user. It imitates ("plays") Python and a shell over a disk in memory."""

__all__: list[str] = []
