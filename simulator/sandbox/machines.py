"""Chooses the machine of a sandbox by the level of execution with which the simulator was started."""

from collections.abc import Callable

from .disk import MemoryDisk
from .machine import Machine
from .played.machine import ScriptedMachine
from .real.machine import real_machine
from .state import MIB, SimulatedSandbox, SimulatedSandboxes


def maker(state: SimulatedSandboxes) -> Callable[[SimulatedSandbox], Machine]:
    """A function that makes the machine of a sandbox. It is called when the machine is first needed."""

    def make(sandbox: SimulatedSandbox) -> Machine:
        envs = sandbox.order.envs
        if state.level == "scripted":
            content = sandbox.template.content
            room, clock = sandbox.template.disk_mb * MIB, state.world.clock.now
            disk = content.copy() if isinstance(content, MemoryDisk) else MemoryDisk(room, clock)
            return ScriptedMachine(disk, envs, sandbox.memory_mb, state.world.settings.speed)
        return real_machine(state.level, sandbox)

    return make
