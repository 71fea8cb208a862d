"""Agent sandboxes as tools: machines for an agent's code, and what comes home from them."""

__all__: list[str] = []
