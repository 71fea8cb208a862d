"""Tools for agent sandboxes: machines that run an agent's code, and the files saved from them."""

__all__: list[str] = []
