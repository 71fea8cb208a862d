"""Instances: their types, how one is ordered, and what its states mean for a caller who waits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import SecretStr, model_validator

from ..core.answers import (
    Moment,
    One,
    Rows,
    Secret,
    Shape,
    Text,
    Whether,
    Whole,
    an_object,
    read_shape,
)
from ..core.client import NovitaClient
from ..core.errors import InputError, NotFoundError, NovitaAPIError, NovitaConnectionError
from ..core.json_text import is_object
from ..core.redaction import is_credential, learn
from ..core.waiting import Look, Phase
from ..core.words import counted
from .pages import numbered_rows
from .products import DISK_GB_DAY, FREE_DISK_GB, Billing
from .routes import act, act_for_id, ask


class EnvVar(Shape):
    """One environment variable. Its value may be a secret."""

    key: Text = ""
    value: Secret = SecretStr("")


class PortMapping(Shape):
    """An open port and the address at which it is reached."""

    port: Whole = None
    endpoint: Text = ""
    type: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {"protocol": "type"}


class VolumeMount(Shape):
    """A mounted volume."""

    type: Text = ""
    size: Whole = None
    id: Text = ""
    mount_path: Text = ""


class StatusError(Shape):
    """Why an instance is in its state, after a failure."""

    state: Text = ""
    message: Text = ""


class Component(Shape):
    """One way to access an instance: ssh, browser terminal, Jupyter or the logs."""

    ssh_command: Text = ""
    address: Text = ""
    username: Text = ""
    password: Secret = SecretStr("")
    port: Text = ""
    system_log_address: Text = ""
    instance_log_address: Text = ""
    is_running: Whether = False

    @model_validator(mode="after")
    def _keep_secret(self) -> "Component":
        learn(self.password.get_secret_value())
        return self


class Instance(Shape):
    """One rented machine as Novita shows it. Passwords and values of variables are wrapped, so that printing the object
    does not show them."""

    id: Text
    name: Text = ""
    status: Text = ""
    status_error: One[StatusError] = StatusError()
    cluster_id: Text = ""
    cluster_name: Text = ""
    image_url: Text = ""
    image_auth_id: Text = ""
    command: Text = ""
    entrypoint: Text = ""
    gpu_num: Whole = None
    cpu_num: Whole = None
    memory: Whole = None
    port_mappings: Rows[PortMapping] = ()
    product_id: Text = ""
    product_name: Text = ""
    rootfs_size: Whole = None
    volume_mounts: Rows[VolumeMount] = ()
    envs: Rows[EnvVar] = ()
    kind: Text = ""
    billing_mode: Text = ""
    end_time: Moment = None
    spot_status: Text = ""
    spot_reclaim_time: Moment = None
    created_at: Moment = None
    started_at: Moment = None
    last_started_at: Moment = None
    stopped_at: Moment = None
    last_stopped_at: Moment = None
    connect_component_ssh: One[Component] = Component()
    connect_component_web_terminal: One[Component] = Component()
    connect_component_jupyter: One[Component] = Component()
    connect_component_log: One[Component] = Component()

    other_names: ClassVar[Mapping[str, str]] = {
        "region": "cluster_id",
        "image": "image_url",
        "ports": "port_mappings",
        "create_time": "created_at",
    }

    @model_validator(mode="before")
    @classmethod
    def _state_of_v2(cls, data: Any) -> Any:
        """v2 nests the state: {status: {status, error, message}}."""
        given = an_object(data)
        state = given.get("status")
        if not is_object(state):
            return data
        why = {"state": state.get("error"), "message": state.get("message")}
        return {**given, "status": state.get("status"), "statusError": why}

    @property
    def running(self) -> bool:
        return self.status == "running"

    @property
    def gone(self) -> bool:
        return self.status in ("removed", "removing", "toRemove")

    @property
    def since(self) -> datetime | None:
        """When it last began to run, if Novita says so; the fields are undocumented."""
        return self.last_started_at or self.started_at or self.created_at

    @property
    def until(self) -> datetime | None:
        """When it last stopped, if Novita says so."""
        return self.last_stopped_at or self.stopped_at

    @property
    def why(self) -> str:
        """The name and the text of the instance's error."""
        error = self.status_error
        return ": ".join(part for part in (error.state, error.message) if part)

    def label(self) -> str:
        """The instance in questions and messages: `'trainer' (i-123, RTX 4090 24GB x1)`."""
        cards = f" x{self.gpu_num}" if self.gpu_num else ""
        return f"{self.name!r} ({self.id}, {self.product_name or self.product_id}{cards})"


BILLED_STATES = frozenset(
    ("pulling", "running", "toStop", "stopping", "toRestart", "restarting", "toReset", "resetting", "migrating")
)
"""States that are billed: "from state pulling until stopped" (x-billing of the facts)."""


# Ordering


@dataclass(frozen=True)
class InstanceOrder:
    """A checked order for an instance. `product_id` and prices come from an offer; a CPU product has no cards."""

    name: str
    product_id: str
    image: str
    kind: str = "gpu"
    count: int = 1
    disk_gb: int = FREE_DISK_GB
    ports: tuple[tuple[int, str], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    command: str = ""
    entrypoint: str = ""
    volumes: Mapping[str, str] = field(default_factory=dict[str, str])
    billing: Billing = "onDemand"
    months: int = 0
    region_id: str = ""
    registry_auth_id: str = ""
    native: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def body(self) -> dict[str, Any]:
        """The body of the v1 request."""
        body: dict[str, Any] = {
            "name": self.name,
            "productId": self.product_id,
            "imageUrl": self.image,
            "kind": self.kind,
            "ports": ",".join(f"{port}/{kind}" for port, kind in self.ports),
            "envs": [{"key": key, "value": value} for key, value in self.env.items()],
            "command": self.command,
            "entrypoint": self.entrypoint,
            "clusterId": self.region_id,
            "imageAuthId": self.registry_auth_id,
            "networkStorages": [{"Id": volume, "mountPoint": path} for volume, path in self.volumes.items()],
        }
        if self.kind == "gpu":
            body |= {"gpuNum": self.count, "rootfsSize": self.disk_gb, "billingMode": self.billing}
            if self.billing == "monthly":
                body["month"] = self.months
        return {name: value for name, value in body.items() if value not in ("", [], None)} | dict(self.native)


NATIVE = (
    "entrypoint",
    "imageAuthId",
    "networkId",
    "minCudaVersion",
    "tools",
    "autoRenew",
    "autoRenewMonth",
    "localStorageMountPoint",
)
"""Fields of the create route that have no argument of their own and are given in `options`."""

RESERVED_PORTS = (2222, 2223, 2224)
MOST_PORTS = 15


def read_ports(given: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """`["8888/http", "22/tcp"]` as pairs.

    Raises:
        InputError: A port is out of range, reserved, named twice, or of no known type; or there are too many.
    """
    ports: list[tuple[int, str]] = []
    for text in given:
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(http|tcp)\s*", text.lower())
        if found is None:
            raise InputError(f"Port {text!r} cannot be read", next_step="Write port/type: 8888/http or 22/tcp.")
        port = int(found[1])
        if not 1 <= port <= 65_535 or port in RESERVED_PORTS:
            raise InputError(f"Port {port} cannot be opened", next_step="Use 1 to 65535, but not 2222, 2223, 2224.")
        if port in [other for other, _ in ports]:
            raise InputError(f"Port {port} is named twice")
        ports.append((port, found[2]))
    if len(ports) > MOST_PORTS:
        raise InputError(f"{counted(len(ports), 'port')} are too many", next_step=f"At most {MOST_PORTS} can be open.")
    return tuple(ports)


def check_env(env: Mapping[str, str]) -> None:
    """Raise InputError for variables that Novita does not accept. The error quotes no values."""
    if len(env) > 100:
        raise InputError(f"{len(env)} environment variables are too many", next_step="At most 100.")
    for key, value in env.items():
        if not key or len(key) > 511 or len(value) > 4095:
            raise InputError(
                f"Environment variable {key[:60]!r} is too long or has no name",
                next_step="A name has up to 511 characters, a value up to 4095.",
            )


def disk_usd_per_hour(disk_gb: int) -> Decimal:
    """USD an hour for the part of the root disk that is not free."""
    return max(0, disk_gb - FREE_DISK_GB) * DISK_GB_DAY / 24


async def create_instance(client: NovitaClient, order: InstanceOrder) -> str:
    """Send the order once, and return the new instance's id.

    Raises:
        NovitaConnectionError: No answer came, or an answer without an id. The instance may exist.
    """
    doing = "creating the instance"
    secrets = secret_words(order.env)
    if found := await act_for_id(client, "create_gpu_instance", order.body(), "id", "instanceId", secrets=secrets):
        return found
    raise NovitaConnectionError(f"Novita's answer while {doing} has no id in it", billed="maybe")


def secret_words(env: Mapping[str, str]) -> list[str]:
    """Values that may be secrets and must not appear in errors, the longest first."""
    for name, value in env.items():
        if is_credential(name):
            learn(value)
    return sorted((value for value in env.values() if len(value) >= 6), key=len, reverse=True)


# Reading


async def list_instances(client: NovitaClient, *, name: str | None = None, status: str | None = None) -> list[Instance]:
    """All instances, page by page. It is not known whether pages count from 0 or 1, so repeated ids are dropped."""
    return await numbered_rows(client, "list_gpu_instances", Instance, "instances", "data", name=name, status=status)


async def get_instance(client: NovitaClient, instance_id: str) -> Instance:
    """One instance with its access data.

    Raises:
        NotFoundError: The instance is gone, or never existed.
    """
    doing = "reading the instance"
    return read_shape(Instance, await ask(client, "get_gpu_instance", params={"instanceId": instance_id}), doing)


# Doing


async def start_instance(client: NovitaClient, instance_id: str) -> None:
    """Start a stopped instance. It costs from now on, so the request is sent only once."""
    await act(client, "start_gpu_instance", {"instanceId": instance_id})


async def restart_instance(client: NovitaClient, instance_id: str) -> None:
    """Restart a running instance. The request is sent once, because a second restart would interrupt the first."""
    await act(client, "restart_gpu_instance", {"instanceId": instance_id})


async def stop_instance(client: NovitaClient, instance_id: str) -> None:
    """Stop a running instance. The request is repeated until Novita answers, since stopping twice does no harm."""
    await _settled(client, "stop_gpu_instance", instance_id, ("toStop", "stopping", "exited"))


async def delete_instance(client: NovitaClient, instance_id: str) -> None:
    """Delete an instance with its disk. The request is repeated until Novita answers."""
    await _settled(client, "delete_gpu_instance", instance_id, ("toRemove", "removing", "removed"))


async def _settled(client: NovitaClient, operation: str, instance_id: str, states: tuple[str, ...]) -> None:
    """Send a call that may be repeated. If the first answer was lost, Novita refuses the repetition (CONFLICT, not
    found), and the instance's state shows whether the call has worked."""
    try:
        await ask(client, operation, body={"instanceId": instance_id})
    except NovitaAPIError as error:
        if error.status >= 500 or error.status == 429:
            raise
        try:
            instance = await get_instance(client, instance_id)
        except NotFoundError:
            if "removed" in states:
                return
            raise error from None
        if instance.status not in states:
            raise


# Waiting


class InstanceGoal(StrEnum):
    """What a caller waits for."""

    RUNNING = "running"
    STOPPED = "exited"
    GONE = "removed"


_NOTES: Mapping[str, str] = {
    "toCreate": "queued",
    "creating": "being created",
    "pulling": "pulling the image",
    "toStart": "about to start",
    "starting": "starting",
    "toStop": "about to stop",
    "stopping": "stopping",
    "toRestart": "about to restart",
    "restarting": "restarting",
    "toReset": "about to be reset",
    "resetting": "being reset",
    "toRemove": "about to be deleted",
    "removing": "being deleted",
    "migrating": "moving to another host",
    "freezing": "freezing",
    "pending": "pending",
}
"""Transitional state -> its meaning in words. Any unknown state is shown as it is and counts as transitional."""


def judge(instance: Instance, goal: InstanceGoal, *, just_begun: bool = False) -> Look[Instance]:
    """What an instance's state means for a caller who waits for `goal`.

    Args:
        just_begun: The call that leads to the goal was just made, so Novita may still show the earlier state.
    """
    status, why = instance.status, instance.why
    note = _NOTES.get(status, status)
    if why:
        note = f"{note} ({why})"
    if status == goal or (goal is InstanceGoal.STOPPED and instance.gone):
        return Look(Phase.SUCCEEDED, instance, note=note)
    if goal is InstanceGoal.RUNNING:
        if instance.gone:
            return Look(Phase.FAILED, instance, note=note, reason=why or "it was deleted")
        if status == "exited" and (why or not just_begun):
            return Look(Phase.FAILED, instance, note=note, reason=why or "it stopped before it ran")
    return Look(Phase.WORKING, instance, note=note)


async def look_at(
    client: NovitaClient, instance_id: str, goal: InstanceGoal, *, last: Instance, just_begun: bool = False
) -> Look[Instance]:
    """Look once. While waiting for a deletion, "not found" means that it is done, and the look's value is `last`."""
    try:
        instance = await get_instance(client, instance_id)
    except NotFoundError:
        if goal is InstanceGoal.GONE:
            return Look(Phase.SUCCEEDED, last.model_copy(update={"status": "removed"}))
        raise
    return judge(instance, goal, just_begun=just_begun)
