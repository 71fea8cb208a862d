"""`novita-mcp simulate`: Novita on this machine, until stopped."""

from ...simulator.core.world import World, WorldSettings
from ...simulator.serving import run


def run_simulator(port: int, task_seconds: float) -> int:
    """Serve until told to end; the exit code.

    Args:
        task_seconds: How long a media task takes.
    """
    run(World(WorldSettings(task_seconds=task_seconds)), port)
    return 0
