"""`novita-mcp simulate`: Novita on this machine, until stopped."""

from ...simulator.core.world import World, WorldSettings
from ...simulator.serving import run
from ..settings import SettingError


def run_simulator(port: int, task_seconds: float, *, old_models: bool = False) -> int:
    """Serve until told to end; the exit code.

    Args:
        task_seconds: How long a media task takes.
        old_models: Whether the media models that Novita has switched off still answer.

    Raises:
        SettingError: Nobody may listen at that port.
    """
    world = World(WorldSettings(task_seconds=task_seconds, old_models=old_models))
    try:
        run(world, port)
    except (OSError, OverflowError) as error:
        raise SettingError(f"cannot listen on 127.0.0.1:{port}: {error}") from error
    return 0
