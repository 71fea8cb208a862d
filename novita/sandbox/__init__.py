"""Agent sandboxes at Novita: their lives, what is inside one, and what they cost."""

__all__: list[str] = []
