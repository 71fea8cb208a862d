"""What a sandbox costs: cores and memory by the second while it runs, storage while it is paused. Prices are data."""

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from ..core.money import say_exactly
from ..core.words import counted

HOUR = 3600


@dataclass(frozen=True)
class SandboxSize:
    """Cores and memory of a sandbox; its template fixes them."""

    cpu: int
    memory_mb: int

    def __str__(self) -> str:
        return f"{counted(self.cpu, 'core')}, {self.memory_mb / 1024:g} GiB"


@dataclass(frozen=True)
class SandboxPrices:
    """Prices in USD, where they stand and when they were read there."""

    source: str
    checked: date
    core_second: Decimal
    gib_second: Decimal
    storage_gb_hour: Decimal
    storage_free_gb: int
    assumed: SandboxSize
    """What is assumed if a template's size is not known."""

    def per_second(self, shape: SandboxSize) -> Decimal:
        """USD per second while it runs."""
        return self.core_second * shape.cpu + self.gib_second * Decimal(shape.memory_mb) / 1024

    def per_hour(self, shape: SandboxSize) -> Decimal:
        return self.per_second(shape) * HOUR

    def cost(self, shape: SandboxSize, seconds: float) -> Decimal:
        """USD for so many seconds of running; 0 if the number is negative."""
        return self.per_second(shape) * Decimal(str(max(0.0, seconds)))

    @property
    def storage_words(self) -> str:
        """What a paused sandbox or a snapshot may cost."""
        return (
            f"its disk counts as storage: free up to {self.storage_free_gb} GB per account, beyond that "
            f"{say_exactly(self.storage_gb_hour)} per GB and hour (price of {self.checked})"
        )


@cache
def prices() -> SandboxPrices:
    """The prices in prices.json."""
    data: dict[str, Any] = json.loads(Path(__file__).with_name("prices.json").read_text(encoding="utf-8"))
    assumed = data["assumed_shape"]
    return SandboxPrices(
        source=data["source"],
        checked=date.fromisoformat(data["checked"]),
        core_second=Decimal(data["vcpu_usd_per_core_second"]),
        gib_second=Decimal(data["ram_usd_per_gib_second"]),
        storage_gb_hour=Decimal(data["storage_usd_per_gb_hour"]),
        storage_free_gb=data["storage_free_gb"],
        assumed=SandboxSize(assumed["cpu"], assumed["memory_mb"]),
    )
