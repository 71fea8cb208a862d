"""The settings that an endpoint should have: checked, compared with its present ones, and written as a request of v1
or v2.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..core.errors import InputError
from ..core.json_text import is_row
from ..core.words import counted
from .shapes import Endpoint, EndpointLimits, EndpointMount

RESERVED_PORTS = (2222, 2223, 2224)
DISK_GB = 100
"""GB of root disk. Novita's documentation allows no other size."""

POLICIES = ("queue", "concurrency")


@dataclass(frozen=True)
class EndpointPlan:
    """An endpoint as it should be. Times are in seconds.

    Args:
        kind: "sync" or "async".
        region: The region of its workers; a network volume needs it.
        scale_by: "queue" adds workers when a request has waited `scale_at` seconds; "concurrency" adds workers when
            `scale_at` requests run at once.
        volumes: The volumes that workers mount.
    """

    image: str
    kind: str = "sync"
    name: str = ""
    app_name: str = ""
    product_ids: tuple[str, ...] = ()
    registry_auth_id: str = ""
    command: str = ""
    entrypoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    port: int | None = None
    health_path: str = ""
    region: str = ""
    min_workers: int = 0
    max_workers: int = 1
    idle_seconds: int = 60
    concurrency: int = 1
    gpus: int = 1
    request_timeout: int | None = None
    cuda_version: str = ""
    disk_gb: int = DISK_GB
    scale_by: str = "queue"
    scale_at: int = 10
    volumes: tuple[EndpointMount, ...] = ()

    @classmethod
    def of(cls, endpoint: Endpoint) -> "EndpointPlan":
        """The plan that describes an endpoint as it is."""
        workers, policy = endpoint.worker_config, endpoint.policy
        known: dict[str, Any] = {
            "min_workers": workers.min_num,
            "max_workers": workers.max_num,
            "idle_seconds": workers.free_timeout,
            "concurrency": workers.max_concurrent,
            "gpus": workers.gpu_num,
            "scale_at": policy.value,
            "disk_gb": endpoint.rootfs_size or workers.rootfs_size,
        }
        return cls(
            image=endpoint.image.image,
            kind="async" if endpoint.is_async else "sync",
            name=endpoint.name,
            app_name=endpoint.app_name,
            product_ids=tuple(product.id for product in endpoint.products if product.id),
            registry_auth_id=endpoint.image.auth_id,
            command=endpoint.image.command,
            entrypoint=endpoint.entrypoint,
            env={each.key: each.value.get_secret_value() for each in endpoint.envs if each.key},
            port=next((port.port for port in endpoint.ports if port.port), None),
            health_path=endpoint.healthy.path,
            region=endpoint.cluster_id,
            request_timeout=workers.request_timeout,
            cuda_version=workers.cuda_version,
            scale_by=policy.type or "queue",
            volumes=tuple(endpoint.volume_mounts),
            **{name: value for name, value in known.items() if value is not None},
        )

    def changed(self, **changes: Any) -> "EndpointPlan":
        """The plan with these settings changed. None leaves a setting as it is."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def differences(self, other: "EndpointPlan") -> list[str]:
        """What changes from this plan to `other`, one line each. The values of variables are left out."""
        made: list[str] = []
        for each in fields(self):
            before, after = getattr(self, each.name), getattr(other, each.name)
            if each.name == "env":
                made += [f"env {key}: {_env_change(before, after, key)}" for key in sorted({*before, *after})]
            elif before != after:
                made.append(f"{each.name}: {_word(before)} -> {_word(after)}")
        return [line for line in made if not line.endswith(": same")]

    def restarts(self, other: "EndpointPlan") -> bool:
        """Whether a change to `other` replaces the workers. Only changes of their number and name do not."""
        kept = ("name", "min_workers", "max_workers", "idle_seconds", "concurrency", "scale_by", "scale_at")
        return any(
            getattr(self, each.name) != getattr(other, each.name) for each in fields(self) if each.name not in kept
        )

    def check(self, limits: EndpointLimits, *, before: "EndpointPlan | None" = None) -> None:
        """Refuse settings that Novita would refuse.

        Args:
            before: The endpoint as it is. Only settings that change are checked: Novita has accepted the others.

        Raises:
            InputError: The text names the setting and its range.
        """
        new = {
            each.name
            for each in fields(self)
            if before is None or getattr(self, each.name) != getattr(before, each.name)
        }
        if not self.image and "image" in new:
            raise InputError("No container image was given")
        for name, most in (("name", 220), ("image", 511), ("command", 2047)):
            text = str(getattr(self, name))
            if name in new and len(text) > most:
                raise InputError(f"{name} has {counted(len(text), 'character')}; at most {most} are allowed")
        if "app_name" in new and not re.fullmatch(r"[a-z0-9-]*", self.app_name):
            raise InputError("app_name takes lower-case letters, digits and hyphens only")
        if new & {"port", "kind"}:
            check_port(self.port, needed=self.kind == "sync")
        if "health_path" in new and self.health_path and not self.health_path.startswith("/"):
            raise InputError(f"health_path {self.health_path!r} must begin with /")
        if "scale_by" in new and self.scale_by not in POLICIES:
            raise InputError(f"scale_by {self.scale_by!r} is not known", next_step="Use queue or concurrency.")
        self._check_ranges(limits, new)
        if new & {"min_workers", "max_workers"} and self.max_workers < max(1, self.min_workers):
            raise InputError(
                f"max_workers {self.max_workers} must be at least 1 and not below min_workers {self.min_workers}"
            )
        offered = limits.cuda_version_list
        if "cuda_version" in new and self.cuda_version and offered and self.cuda_version not in offered:
            raise InputError(
                f"cuda_version {self.cuda_version!r} is not offered", next_step=f"There are: {', '.join(offered)}."
            )

    def _check_ranges(self, limits: EndpointLimits, new: Collection[str]) -> None:
        scaling = "queue_seconds" if self.scale_by == "queue" else "queue_requests"
        for name in ("min_workers", "max_workers", "idle_seconds", "concurrency", "gpus", "disk_gb", "scale_at"):
            if name not in new and not (name == "scale_at" and "scale_by" in new):
                continue
            value: int = getattr(self, name)
            low, high = limits.of(scaling if name == "scale_at" else name)
            if (low is not None and value < low) or (high is not None and value > high) or value < 0:
                bounds = f"{low} to {high}" if low is not None and high is not None else "0 or more"
                raise InputError(f"{name} {value} is out of range", next_step=f"Allowed: {bounds}.")

    # The bodies of requests

    def body_v1(self) -> dict[str, Any]:
        """The inner object of v1's create request. v1's update request is the same with the id added."""
        workers: dict[str, Any] = {
            "minNum": self.min_workers,
            "maxNum": self.max_workers,
            "freeTimeout": self.idle_seconds,
            "maxConcurrent": self.concurrency,
            "gpuNum": self.gpus,
        }
        if self.request_timeout:
            workers["requestTimeout"] = self.request_timeout
        if self.cuda_version:
            workers["cudaVersion"] = self.cuda_version
        body: dict[str, Any] = {
            "name": self.name,
            "appName": self.app_name,
            "workerConfig": workers,
            "ports": [{"port": str(self.port)}] if self.port else [],
            "policy": {"type": self.scale_by, "value": self.scale_at},
            "image": _given(image=self.image, authId=self.registry_auth_id, command=self.command),
            "products": [{"id": product} for product in self.product_ids],
            "rootfsSize": self.disk_gb,
            "volumeMounts": [
                _given(type=mount.type, size=mount.size, id=mount.id, mountPath=mount.mount_path)
                for mount in self.volumes
            ],
            "clusterID": self.region,
            "envs": [{"key": key, "value": value} for key, value in self.env.items()],
        }
        if self.health_path:
            body["healthy"] = {"path": self.health_path}
        return {name: value for name, value in body.items() if value != ""}

    def body_v2(self) -> dict[str, Any]:
        """The body of v2's create request. v2's update request is the same without the settings that cannot change."""
        workers = _given(
            max_replicas=self.max_workers,
            min_replicas=self.min_workers,
            idle_timeout=self.idle_seconds,
            max_concurrent_per_worker=self.concurrency,
            gpu_num=self.gpus,
            rootfs_size_gb=self.disk_gb,
            min_cuda_version=self.cuda_version,
            request_timeout=self.request_timeout,
        )
        body = _given(
            type=self.kind,
            name=self.name,
            app_name=self.app_name,
            product_id=next(iter(self.product_ids), ""),
            image=self.image,
            registry_auth_id=self.registry_auth_id,
            entrypoint=self.entrypoint,
            command=self.command,
            policy={"type": self.scale_by, "value": self.scale_at},
            region_id=self.region,
            worker_config=workers,
        )
        if self.volumes:
            body["volumes"] = [
                _given(id=mount.id, type=mount.type, size=mount.size, mount_point=mount.mount_path)
                for mount in self.volumes
            ]
        body["envs"] = [{"key": key, "value": value} for key, value in self.env.items()]
        if self.port:
            body["ports"] = [self.port]
        if self.health_path:
            body["health_check"] = _given(path=self.health_path, port=self.port)
        return body


def check_port(port: int | None, *, needed: bool) -> None:
    """Raise InputError for a port at which workers cannot serve."""
    if port is None:
        if needed:
            raise InputError(
                "No port was given",
                next_step="Say which HTTP port the image listens on (8000 for vLLM and many others).",
            )
        return
    if not 1 <= port <= 65_535 or port in RESERVED_PORTS:
        raise InputError(f"Port {port} cannot be served", next_step="Use 1 to 65535, but not 2222, 2223, 2224.")


def merged_env(before: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str] | None:
    """The variables after a change. Those in `given` are set, or removed if their value is empty; the others stay."""
    if given is None:
        return None
    return {key: value for key, value in {**before, **given}.items() if value or key not in given}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _env_change(before: Mapping[str, str], after: Mapping[str, str], key: str) -> str:
    if key not in before:
        return "new"
    if key not in after:
        return "removed"
    return "same" if before[key] == after[key] else "another value"


def _word(value: Any) -> str:
    if is_row(value):
        return ", ".join(row.id or row.type if isinstance(row, EndpointMount) else str(row) for row in value) or "none"
    return str(value) if value not in ("", None) else "none"
