"""Things that belong to instances: volumes, private networks, registry logins, prewarmed and saved images, background
jobs and metrics.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from ..core.answers import (
    Amount,
    Moment,
    One,
    Rows,
    Shape,
    Text,
    Whole,
    Words,
    an_object,
    id_in,
    objects,
    read_rows,
    read_shape,
)
from ..core.by_name import the_one
from ..core.client import NovitaClient
from ..core.errors import NotFoundError, NovitaError
from ..core.money import say_exactly, say_usd
from ..core.redaction import learn
from ..core.waiting import Look, Phase
from .pages import linked_rows, numbered_rows
from .products import VOLUME_GB_DAY
from .routes import act, ask


class Volume(Shape):
    """A network volume."""

    storage_id: Text
    storage_name: Text = ""
    storage_size: Whole = None
    cluster_id: Text = ""
    cluster_name: Text = ""

    @property
    def id(self) -> str:
        return self.storage_id

    @property
    def name(self) -> str:
        return self.storage_name

    def label(self) -> str:
        return f"{self.storage_id} ({self.storage_name}, {self.cluster_id})"


class NetworkState(Shape):
    """The state of a network."""

    state: Text = ""
    error: Text = ""


class Address(Shape):
    """The address of an instance in a network."""

    id: Text = ""
    ip: Text = ""


class Network(Shape):
    """A private network."""

    id: Text
    name: Text = ""
    state: One[NetworkState] = NetworkState()
    segment: Text = ""
    cluster_id: Text = ""
    addresses: Rows[Address] = ()


class RegistryLogin(Shape):
    """A saved login to a registry of images. Its password is not even read."""

    id: Text
    name: Text = ""
    username: Text = ""

    def label(self) -> str:
        return f"{self.id} ({self.username} at {self.name})"


class Prewarm(Shape):
    """An image cached in a region."""

    id: Text
    image_name: Text = ""
    image_url: Text = ""
    cluster_id: Text = ""
    state: Text = ""
    note: Text = ""
    reason: Words = ()
    create_time: Moment = None
    other_names: ClassVar[Mapping[str, str]] = {"task_id": "id", "image": "image_url", "status": "state"}


class PrewarmQuota(Shape):
    """How many images may be cached, and how large (GB)."""

    total: Whole = None
    limit: Whole = None
    per_image_size: Whole = None


class SavedImage(Shape):
    """An image saved at Novita. The field names come from a client of PPIO, Novita's sibling platform."""

    id: Text = ""
    name: Text = ""
    image: Text = ""


class JobStatus(Shape):
    """The state of a background job."""

    state: Text = ""
    error: Text = ""
    error_message: Text = ""
    other_names: ClassVar[Mapping[str, str]] = {"message": "error_message"}


class GpuJob(Shape):
    """A background job: saving an image, or moving an instance."""

    id: Text
    type: Text = ""
    state: One[JobStatus] = JobStatus()
    instance_id: Text = ""
    log_address: Text = ""
    created_at: Moment = None
    other_names: ClassVar[Mapping[str, str]] = {"job_id": "id"}

    @property
    def why(self) -> str:
        return ": ".join(part for part in (self.state.error, self.state.error_message) if part)


class Point(Shape):
    """One measurement."""

    timestamp: Moment = None
    value: Amount = None


class CardMetrics(Shape):
    """A metric of the cards. Only its mean over all cards is read."""

    avg: Rows[Point] = ()


class InstanceMetrics(Shape):
    """Utilisation in percent over time."""

    cpu_utilization: Rows[Point] = ()
    mem_utilization: Rows[Point] = ()
    root_disk_utilization: Rows[Point] = ()
    gpu_utilization: One[CardMetrics] = CardMetrics()
    gpu_mem_utilization: One[CardMetrics] = CardMetrics()


async def list_volumes(client: NovitaClient) -> list[Volume]:
    """All network volumes."""
    return await numbered_rows(client, "list_network_storages", Volume, "data", page="pageNo")


async def volumes_that_stay(client: NovitaClient, mounted: Collection[str]) -> str:
    """A sentence or two about the volumes that stay when the thing that mounts them is gone, and what they still cost.

    Empty if nothing is mounted.

    Args:
        mounted: The ids of the volumes.
    """
    if not mounted:
        return ""
    try:
        known = {volume.storage_id: volume for volume in await list_volumes(client)}
    except NovitaError:
        known = {}  # the volumes are mentioned anyway, by id alone
    named: list[str] = []
    for volume_id in mounted:
        volume = known.get(volume_id, Volume(storage_id=volume_id))
        size = volume.storage_size
        daily = (
            f"{size} GB, {say_usd(size * VOLUME_GB_DAY)} a day"
            if size
            else f"{say_exactly(VOLUME_GB_DAY)} per GB and day"
        )
        named.append(f"{volume.storage_name or volume_id} ({volume_id}, {daily}, estimated)")
    many = len(named) > 1
    return (
        f"Network volume{'s' * many} {', '.join(named)} stay{'s' * (not many)} and still cost{'s' * (not many)} money; "
        "delete_gpu_resource with kind=volume deletes one."
    )


def volume_creation(*, name: str, region_id: str, size_gb: int) -> dict[str, Any]:
    """The body that creates a volume."""
    return {"clusterId": region_id, "storageName": name, "storageSize": size_gb}


async def create_volume(client: NovitaClient, body: Mapping[str, Any]) -> str:
    """Create a volume and return its id. Novita answers with an object or a bare string. Empty if it names no id."""
    return id_in(await act(client, "create_network_storage", body), "storageId", "id")


def volume_update(volume_id: str, *, name: str, size_gb: int) -> dict[str, Any]:
    """The body that renames or grows a volume. Name and size are always sent."""
    return {"storageId": volume_id, "storageName": name, "storageSize": size_gb}


async def update_volume(client: NovitaClient, body: Mapping[str, Any]) -> None:
    """Rename or grow a volume."""
    await act(client, "update_network_storage", body)


async def list_networks(client: NovitaClient) -> list[Network]:
    """All private networks. Novita's page calls the field `network`, but a known client reads `networks`."""
    return await numbered_rows(client, "list_vpc_networks", Network, "network", "networks", "data")


async def get_network(client: NovitaClient, network_id: str) -> Network:
    """One private network.

    Raises:
        NotFoundError: There is no network of this id.
    """
    answer = await ask(client, "get_vpc_network", params={"networkId": network_id})
    found = read_rows(Network, answer, "reading the private network", "network", "networks")
    if not found:
        raise NotFoundError(f"There is no private network {network_id!r}", status=404)
    return found[0]


async def create_network(client: NovitaClient, *, name: str, region_id: str) -> str:
    """Create a network and return its id. If the answer names none, as one client saw, the list is searched by name."""
    before = {network.id for network in await list_networks(client)}
    answer = await act(client, "create_vpc_network", {"clusterId": region_id, "name": name})
    inner = objects(an_object(answer).get("network"))
    if found := id_in(inner[0] if inner else answer, "id", "networkId") or id_in(answer, "id", "networkId"):
        return found
    fresh = [each.id for each in await list_networks(client) if each.id not in before and each.name == name]
    return fresh[0] if fresh else ""


async def rename_network(client: NovitaClient, network_id: str, name: str) -> None:
    """Give a private network another name."""
    await act(client, "update_vpc_network", {"networkId": network_id, "name": name})


async def list_logins(client: NovitaClient) -> list[RegistryLogin]:
    """Saved registry logins, without their passwords."""
    return read_rows(RegistryLogin, await ask(client, "list_registry_auths"), "listing registry logins", "data")


async def login_id(client: NovitaClient, wanted: str) -> str:
    """The id of a saved login that `wanted` names by id or by registry. If there is none, `wanted` itself.

    Raises:
        InputError: Several logins are for that registry.
    """
    if not wanted:
        return ""
    found = the_one(wanted, await list_logins(client), "registry logins", RegistryLogin.label)
    return found.id if found else wanted


async def create_login(client: NovitaClient, *, name: str, username: str, password: str) -> str:
    """Save a login and return its id. Novita's answer has none, so the list is read. No error holds the password."""
    learn(password)
    body = {"name": name, "username": username, "password": password}
    answer = await act(client, "create_registry_auth", body, secrets=(password,))
    if found := id_in(answer, "id"):
        return found
    same = [each.id for each in await list_logins(client) if (each.name, each.username) == (name, username)]
    return same[-1] if same else ""


async def list_prewarms(client: NovitaClient) -> list[Prewarm]:
    """Cached images."""
    return await numbered_rows(client, "list_image_prewarm", Prewarm, "data", page="page")


async def prewarm_quota(client: NovitaClient) -> PrewarmQuota:
    """How many images may be cached."""
    return read_shape(PrewarmQuota, await ask(client, "get_image_prewarm_quota"), "reading the prewarm quota")


async def create_prewarm(
    client: NovitaClient,
    *,
    image: str,
    region_id: str,
    registry_auth_id: str | None,
    product_ids: Sequence[str],
    note: str | None,
) -> str:
    """Cache an image in a region and return the id."""
    body: dict[str, Any] = {"imageUrl": image, "clusterId": region_id}
    extra = {"repositoryAuth": registry_auth_id, "productIds": list(product_ids), "note": note}
    body |= {key: value for key, value in extra.items() if value}
    return id_in(await act(client, "create_image_prewarm", body), "id", "taskId")


async def note_prewarm(client: NovitaClient, prewarm_id: str, note: str) -> None:
    """Change the note of a cached image."""
    await act(client, "update_image_prewarm", {"id": prewarm_id, "note": note})


async def list_saved_images(client: NovitaClient) -> list[SavedImage]:
    """Images saved at Novita."""
    return await linked_rows(client, "gpus_v2_list_images", SavedImage)


async def list_jobs(client: NovitaClient, *, job_id: str | None = None) -> list[GpuJob]:
    """Background jobs, newest first as Novita lists them."""
    return await numbered_rows(client, "list_gpu_jobs", GpuJob, "jobs", "data", jobId=job_id)


async def look_at_job(client: NovitaClient, job_id: str) -> Look[GpuJob]:
    """One look at a background job.

    Raises:
        NotFoundError: No list shows the job.
    """
    found = [job for job in await list_jobs(client, job_id=job_id) if job.id == job_id]
    if not found:
        raise NotFoundError(f"There is no GPU job {job_id!r}", status=404)
    job = found[0]
    match job.state.state:
        case "success":
            return Look(Phase.SUCCEEDED, job)
        case "fail":
            return Look(Phase.FAILED, job, reason=job.why or "Novita does not say why")
        case "break":
            return Look(Phase.CANCELLED, job, reason="it was stopped")
        case state:
            return Look(Phase.WORKING, job, note=state)


async def save_image(client: NovitaClient, *, instance_id: str, image: str, registry_auth_id: str | None) -> str:
    """Begin to save an instance as an image. Returns the job's id."""
    body = {"instanceId": instance_id, "image": image}
    if registry_auth_id:
        body["registryAuthId"] = registry_auth_id
    return id_in(await act(client, "save_gpu_instance_image", body), "jobId", "id")


async def get_metrics(
    client: NovitaClient, instance_id: str, *, start: int, end: int, interval: int
) -> InstanceMetrics:
    """An instance's utilisation between two Unix times. Novita's data lags by about a minute."""
    params = {"instanceId": instance_id, "startTime": start, "endTime": end, "interval": interval}
    return read_shape(InstanceMetrics, await ask(client, "get_gpu_instance_metrics", params=params), "reading metrics")


DELETES: Mapping[str, tuple[str, str]] = {
    "volume": ("delete_network_storage", "storageId"),
    "network": ("delete_vpc_network", "networkId"),
    "registry_login": ("delete_registry_auth", "id"),
    "job": ("break_gpu_job", "jobId"),
}
"""For each kind: the operation that deletes it (for a job: stops it), and the request's field that names it."""


async def delete_resource(client: NovitaClient, kind: str, resource_id: str) -> None:
    """Delete a volume, network, registry login, prewarmed image or saved image, or stop a job.

    Raises:
        NotFoundError: There is nothing of that kind and id.
    """
    if kind == "saved_image":
        await act(client, "gpus_v2_delete_image", image_id=resource_id)
    elif kind == "prewarmed_image":
        await act(client, "delete_image_prewarm", {"ids": [resource_id]})
    else:
        operation, field = DELETES[kind]
        await act(client, operation, {field: resource_id})
