"""`novita-mcp simulate`: Novita on this machine, until stopped."""

from ...simulator.core.world import World, WorldSettings
from ...simulator.serving import run


def run_simulator(port: int, task_seconds: float, *, old_models: bool = False) -> int:
    """Serve until told to end; the exit code.

    Args:
        task_seconds: How long a media task takes.
        old_models: Whether the media models that Novita has switched off still answer.
    """
    run(World(WorldSettings(task_seconds=task_seconds, old_models=old_models)), port)
    return 0
