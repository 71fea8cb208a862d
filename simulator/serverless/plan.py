"""The settings of an endpoint, as its owner asked for them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class DeploymentPlan:
    """The settings of an endpoint, in a form for both generations of routes. Times are in seconds."""

    products: list[str]
    image: str
    type: str = "sync"
    name: str = ""
    app_name: str = ""
    auth_id: str = ""
    command: str = ""
    entrypoint: str = ""
    port: int = 8000
    health_path: str = ""
    cluster: str = ""
    rootfs_gb: int = 100
    envs: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    volumes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The mounts, as v1 writes them: type, size, id, mountPath."""
    least: int = 0
    most: int = 1
    idle: int = 60
    concurrent: int = 1
    cards: int = 1
    request_timeout: int = 300
    cuda: str = ""
    policy: str = "queue"
    policy_value: int = 10
