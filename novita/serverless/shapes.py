"""Serverless endpoints as v1 or v2 of Novita's API shows them, and what their states mean.

v1's answers are documented in full. Of v2's answers only the first fields are documented; the other fields are read
under the names that v2's requests use.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, model_validator

from ..core.answers import Moment, One, Rows, Shape, Text, Whether, Whole, Words
from ..core.json_text import is_list, is_object
from ..core.waiting import Look, Phase
from ..gpu.instances import EnvVar


class State(Shape):
    """The state of an endpoint or a worker."""

    state: Text = ""
    error: Text = ""
    message: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {"status": "state"}


def _state(value: Any) -> Any:
    if isinstance(value, str):
        return {"state": value}
    return value if is_object(value) or isinstance(value, State) else {}


AnyState = Annotated[State, BeforeValidator(_state)]
"""A state given as an object or as a bare word."""


class EndpointWorker(Shape):
    """One worker."""

    id: Text = ""
    state: AnyState = State()
    healthy: Whether = True  # if Novita does not say, a running worker counts as healthy
    other_names: ClassVar[Mapping[str, str]] = {"status": "state"}

    @property
    def ready(self) -> bool:
        return self.state.state == "running" and self.healthy


class WorkerConfig(Shape):
    """How many workers there may be, and for how long. Some of v1's numbers come as text."""

    min_num: Whole = None
    max_num: Whole = None
    free_timeout: Whole = None
    max_concurrent: Whole = None
    gpu_num: Whole = None
    request_timeout: Whole = None
    cuda_version: Text = ""
    rootfs_size: Whole = None

    other_names: ClassVar[Mapping[str, str]] = {
        "min_replicas": "min_num",
        "max_replicas": "max_num",
        "idle_timeout": "free_timeout",
        "max_concurrent_per_worker": "max_concurrent",
        "min_cuda_version": "cuda_version",
        "rootfs_size_gb": "rootfs_size",
    }


class Policy(Shape):
    """When further workers are started."""

    type: Text = ""
    value: Whole = None


class EndpointImage(Shape):
    """The image that the workers run."""

    image: Text = ""
    auth_id: Text = ""
    command: Text = ""


class EndpointPort(Shape):
    """The port to which requests go."""

    port: Whole = None


class EndpointProduct(Shape):
    """The type of machine that the workers run on."""

    id: Text = ""


class EndpointMount(Shape):
    """A volume that the workers mount."""

    type: Text = ""
    size: Whole = None
    id: Text = ""
    mount_path: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {"mount_point": "mount_path"}


class Health(Shape):
    """How Novita checks whether a worker is healthy."""

    path: Text = ""


class Endpoint(Shape):
    """One deployed endpoint. The values of its variables are wrapped, so that printing it does not show them."""

    id: Text
    type: Text = ""
    name: Text = ""
    app_name: Text = ""
    state: AnyState = State()
    url: Text = ""
    worker_config: One[WorkerConfig] = WorkerConfig()
    policy: One[Policy] = Policy()
    image: One[EndpointImage] = EndpointImage()
    entrypoint: Text = ""
    rootfs_size: Whole = None
    volume_mounts: Rows[EndpointMount] = ()
    envs: Rows[EnvVar] = ()
    ports: Rows[EndpointPort] = ()
    workers: Rows[EndpointWorker] = ()
    products: Rows[EndpointProduct] = ()
    healthy: One[Health] = Health()
    cluster_id: Text = ""
    created_at: Moment = None
    by_v2: Whether = False
    """Whether only v2 of the API knows this endpoint."""

    other_names: ClassVar[Mapping[str, str]] = {
        "status": "state",
        "volumes": "volume_mounts",
        "health_check": "healthy",
        "region_id": "cluster_id",
    }

    @model_validator(mode="before")
    @classmethod
    def _flat_of_v2(cls, data: Any) -> Any:
        """Bring v2's answer into v1's form. v2 has the image as text, ports as plain numbers and a single product."""
        if not is_object(data):
            return data
        given = dict(data)
        if isinstance(given.get("image"), str):
            login, command = given.get("registry_auth_id"), given.pop("command", None)
            given["image"] = {"image": given["image"], "authId": login, "command": command}
        if product := given.pop("product_id", None):
            given["products"] = [{"id": product}]
        if is_list(ports := given.get("ports")):
            given["ports"] = [port if isinstance(port, dict) else {"port": port} for port in ports]
        return given

    @property
    def is_async(self) -> bool:
        return self.type == "async"

    @property
    def running(self) -> int:
        """How many workers take requests now."""
        return sum(worker.ready for worker in self.workers)

    @property
    def why(self) -> str:
        """The name and the text of the endpoint's error."""
        return ": ".join(part for part in (self.state.error, self.state.message) if part)

    def label(self) -> str:
        """The endpoint in questions and messages: `'chat' (ep-123)`."""
        return f"{self.name!r} ({self.id})" if self.name and self.name != self.id else self.id

    def gateway_names(self) -> tuple[str, ...]:
        """The names by which the async gateway may know the endpoint. Novita's texts differ, so there are up to three:
        as in the SDK's guide, without an app name, and as in the older guide.
        """
        first = f"{self.id}-{self.app_name}" if self.app_name and self.app_name != self.id else self.id
        return tuple(dict.fromkeys(name for name in (first, self.id, self.name) if name))


class EndpointLimits(Shape):
    """The ranges of settings that the account may use. None if Novita does not say."""

    min_rootfs_size: Whole = None
    max_rootfs_size: Whole = None
    min_worker_num: Whole = None
    max_worker_num: Whole = None
    min_free_timeout: Whole = None
    max_free_timeout: Whole = None
    min_concurrency_num: Whole = None
    max_concurrency_num: Whole = None
    min_queue_wait_time: Whole = None
    max_queue_wait_time: Whole = None
    min_request_num: Whole = None
    max_request_num: Whole = None
    min_gpu_num: Whole = None
    max_gpu_num: Whole = None
    cuda_version_list: Words = ()

    def of(self, setting: str) -> tuple[int | None, int | None]:
        """The lowest and the highest value of a setting, which is given by our name for it."""
        low, high = _RANGES[setting]
        return getattr(self, low), getattr(self, high)

    def words(self) -> dict[str, str]:
        """The ranges in words: `{"max_workers": "0 to 10"}`."""
        found = {name: self.of(name) for name in _RANGES}
        made = {name: f"{low} to {high}" for name, (low, high) in found.items() if low is not None and high is not None}
        if self.cuda_version_list:
            made["cuda_version"] = ", ".join(self.cuda_version_list)
        return made


_RANGES: Mapping[str, tuple[str, str]] = {
    "min_workers": ("min_worker_num", "max_worker_num"),
    "max_workers": ("min_worker_num", "max_worker_num"),
    "idle_seconds": ("min_free_timeout", "max_free_timeout"),
    "concurrency": ("min_concurrency_num", "max_concurrency_num"),
    "gpus": ("min_gpu_num", "max_gpu_num"),
    "disk_gb": ("min_rootfs_size", "max_rootfs_size"),
    "queue_seconds": ("min_queue_wait_time", "max_queue_wait_time"),
    "queue_requests": ("min_request_num", "max_request_num"),
}


class EndpointGoal(StrEnum):
    """The state that a caller waits for."""

    SERVING = "serving"
    GONE = "deleted"


_FINAL = frozenset(("failed", "error", "stopped", "deleting", "deleted"))
"""States that never lead to serving. Only `serving` is documented; these are a client's guesses."""
_SERVING = frozenset(("serving", "running"))
"""v1's word, and the console's for async endpoints."""


def judge(endpoint: Endpoint, goal: EndpointGoal = EndpointGoal.SERVING) -> Look[Endpoint]:
    """What an endpoint's state means for one who waits for `goal`.

    It serves when its state says so and a worker is ready, or none is kept alive: then the first call starts one.
    """
    word, why = endpoint.state.state, endpoint.why
    note = f"{word or 'no state yet'}{f' ({why})' if why else ''}"
    if goal is EndpointGoal.GONE:
        return Look(Phase.SUCCEEDED if word == "deleted" else Phase.WORKING, endpoint, note=note)
    if word.lower() in _SERVING:
        least = endpoint.worker_config.min_num or 0
        if least == 0 or endpoint.running:
            return Look(Phase.SUCCEEDED, endpoint, note=note)
        states = ", ".join(worker.state.state for worker in endpoint.workers) or "none yet"
        return Look(Phase.WORKING, endpoint, note=f"{note}; workers: {states}")
    # A message alone is no end: what is being made tells how it goes.
    if word.lower() in _FINAL or endpoint.state.error:
        return Look(Phase.FAILED, endpoint, note=note, reason=why or f"it is {word}")
    return Look(Phase.WORKING, endpoint, note=note)
