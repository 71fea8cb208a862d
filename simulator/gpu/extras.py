"""What surrounds instances: templates, volumes, private networks, registry logins, jobs, saved images, prewarm.

Each `Book` holds the records of all accounts, but gives an account only its own. Nothing here knows of HTTP.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ..core.bounds import Kept
from ..core.metering import Meter
from ..core.timeline import Timeline
from ..core.world import Account, World
from .market import VOLUME_GB_DAY, catalogue, clusters, products, refuse
from .order import OrderedPort, check_ports


@dataclass
class Record:
    id: str
    owner: Account
    created_at: int


R = TypeVar("R", bound=Record)


class Book(Generic[R]):
    """Records of one kind by id. `missing`, `text` and `in_use` are the errors for this kind."""

    missing = "RESOURCE_NOT_FOUND"
    text = "resource not found"
    in_use = ""

    def __init__(self, world: World) -> None:
        self.world = world
        self.all: dict[str, R] = {}
        self.users: list[Callable[[str], bool]] = []
        """Each says whether it uses the record with this id. A record in use cannot be deleted."""

    def add(self, record: R) -> R:
        self.all[record.id] = record
        return record

    def of(self, owner: Account) -> list[R]:
        """The account's own records, newest first."""
        return [each for each in reversed(self.all.values()) if each.owner is owner]

    def find(self, owner: Account, id: str) -> R:
        found = self.all.get(id)
        if found is None or found.owner is not owner:
            raise refuse(self.missing, f"{self.text}: {id}")
        return found

    def seen_by(self, owner: Account) -> list[R]:
        """What the account may see in lists: its own records."""
        return self.of(owner)

    def read(self, owner: Account, id: str) -> R:
        """A record that the account may see."""
        return self.find(owner, id)

    def delete(self, owner: Account, id: str) -> None:
        self.find(owner, id)
        if any(uses(id) for uses in self.users):
            raise refuse(self.in_use)
        del self.all[id]

    def now(self) -> int:
        return int(self.world.clock.now())


@dataclass
class SimulatedTemplate(Record):
    """A template. `data` has the fields of a v1 answer, except Id, channel and createdAt."""

    channel: str
    data: dict[str, Any]


class Templates(Book[SimulatedTemplate]):
    """Private templates, and official and community ones, which no account of this world owns."""

    missing = "TEMPLATE_NOT_FOUND"
    text = "template not fount"  # Novita's spelling

    def __init__(self, world: World, auths: "Auths") -> None:
        super().__init__(world)
        self.auths = auths
        auths.users.append(lambda id: any(each.data.get("imageAuth") == id for each in self.all.values()))
        nobody = Account("", 0, "novita")
        for row in catalogue()["templates"]:
            data = {
                "name": row["name"],
                "readme": row["readme"],
                "type": "instance",
                "image": row["image"],
                "imageAuth": "",
                "startCommand": row["start_command"],
                "entrypoint": row["entrypoint"],
                "rootfsSize": row["rootfs_gb"],
                "ports": [{"type": kind, "ports": ports} for kind, ports in row["ports"]],
                "envs": [{"key": key, "value": value} for key, value in row["envs"]],
                "tools": [{"name": n, "describe": d, "port": p, "type": t} for n, d, p, t in row["tools"]],
                "minCudaVersion": row["cuda"],
                "recommendCards": [{"gpuSpecId": id, "cardNum": cards} for id, cards in row["cards"]],
            }
            self.add(SimulatedTemplate(row["id"], nobody, 1_750_000_000, row["channel"], data))

    def seen_by(self, owner: Account) -> list[SimulatedTemplate]:
        return [each for each in self.all.values() if each.owner is owner or each.channel != "private"]

    def read(self, owner: Account, id: str) -> SimulatedTemplate:
        found = self.all.get(id)
        if found is not None and found.channel == "private" and found.owner is not owner:
            raise refuse("TEMPLATE_IS_PRIVATE")
        if found is None:
            raise refuse(self.missing, self.text)
        return found

    def create(self, owner: Account, data: dict[str, Any]) -> SimulatedTemplate:
        self._check(owner, data)
        return self.add(SimulatedTemplate(self.world.new_id("tpl"), owner, self.now(), "private", data))

    def update(self, owner: Account, id: str, data: dict[str, Any]) -> SimulatedTemplate:
        """Replace the template as a whole. Whether Novita keeps fields that are left out is not documented."""
        found = self.find(owner, id)
        self._check(owner, data)
        found.data = data
        return found

    def _check(self, owner: Account, data: dict[str, Any]) -> None:
        self.auths.check(owner, data.get("imageAuth", ""))
        check_ports([OrderedPort(n, group["type"]) for group in data.get("ports") or () for n in group["ports"]], [])


@dataclass
class SimulatedVolume(Record):
    name: str
    size_gb: int
    cluster: str
    meter: Meter = field(default_factory=Meter)


class Storages(Book[SimulatedVolume]):
    missing = "NETWORK_STORAGE_NOT_FOUND"
    text = "network storage not found"
    in_use = "NETWORK_STORAGE_IN_USE"
    largest_gb = 100_000

    def create(self, owner: Account, cluster: str, name: str, size_gb: int) -> SimulatedVolume:
        if cluster not in clusters():
            raise refuse("VALIDATOR_PARAM", f"cluster {cluster} does not exist")
        if not clusters()[cluster].storage:
            raise refuse("CUR_CLUSTER_NETWORK_STORAGE_NOT_SUPPORT")
        self._check_size(size_gb)
        if owner.micro_usd < size_gb * VOLUME_GB_DAY:
            raise refuse("BALANCE_NOT_ENOUGH", "the balance must cover the first day")
        made = self.add(SimulatedVolume(self.world.new_id("ns"), owner, self.now(), name, size_gb, cluster))
        made.meter.run_at(size_gb * VOLUME_GB_DAY, self.now())
        return made

    def update(self, owner: Account, id: str, name: str, size_gb: int) -> None:
        found = self.find(owner, id)
        self._check_size(size_gb)
        if size_gb < found.size_gb:
            raise refuse("VALIDATOR_PARAM", "a network storage only grows")
        found.name, found.size_gb = name, size_gb
        found.meter.run_at(size_gb * VOLUME_GB_DAY, self.now())

    def settle(self) -> None:
        for each in self.all.values():
            note = f"{each.name}, {each.size_gb} GB"
            each.meter.collect(self.world, each.owner, "create_network_storage", note, each.id)

    def _check_size(self, size_gb: int) -> None:
        if size_gb > self.largest_gb:
            raise refuse("NETWORK_STORAGE_TOO_LARGE", f"at most {self.largest_gb} GB")
        if size_gb < 10:
            raise refuse("VALIDATOR_PARAM", "at least 10 GB")


@dataclass
class SimulatedNetwork(Record):
    name: str
    cluster: str
    segment: str
    line: Timeline
    addresses: dict[str, str] = field(default_factory=dict[str, str])
    """Addresses by instance id."""


class Networks(Book[SimulatedNetwork]):
    missing = "NETWORK_NOT_FOUND"
    text = "network not found"
    in_use = "NETWORK_IN_USE"
    limit = 10
    """How many networks an account may have. The documentation names the error but not the number."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.users.append(lambda id: bool(self.all[id].addresses))

    def create(self, owner: Account, cluster: str, name: str) -> SimulatedNetwork:
        if cluster not in clusters() or not clusters()[cluster].vpc:
            raise refuse("VALIDATOR_PARAM", f"cluster {cluster} has no private networks")
        if len(self.of(owner)) >= self.limit:
            raise refuse("NETWORK_MAX_LIMIT", f"at most {self.limit} networks")
        line = Timeline(self.world, "creating")
        line.then(("ready", 0.5))
        id = self.world.new_id("vpc")
        return self.add(
            SimulatedNetwork(id, owner, self.now(), name or id, cluster, f"10.{len(self.all) % 250}.0.0/16", line)
        )

    def join(self, owner: Account, id: str, instance: str, wanted: str) -> str:
        """Reserve an address for an instance: the wanted one, or else the first free one."""
        network = self.find(owner, id)
        if network.line.state != "ready":
            raise refuse("DEPENDENT_RESOURCE_STATE", f"network {id} is {network.line.state}")
        if wanted in network.addresses.values():
            raise refuse("CONFLICT", f"address {wanted} is taken")
        prefix = network.segment.rsplit(".", 2)[0]
        taken = set(network.addresses.values())
        free = (f"{prefix}.{high}.{low}" for high in range(256) for low in range(2, 255))
        network.addresses[instance] = wanted or next(each for each in free if each not in taken)
        return network.addresses[instance]

    def leave(self, id: str, instance: str) -> None:
        if id in self.all:
            self.all[id].addresses.pop(instance, None)

    def rename(self, owner: Account, id: str, name: str) -> None:
        self.find(owner, id).name = name

    def settle(self, look: bool = False) -> None:
        for each in self.all.values():
            for _ in each.line.moves(look=look):
                pass


@dataclass
class Auth(Record):
    name: str
    username: str
    password: str


class Auths(Book[Auth]):
    text = "repository auth not found"
    in_use = "IMAGE_AUTH_IN_USE"

    def create(self, owner: Account, name: str, username: str, password: str) -> Auth:
        return self.add(Auth(self.world.new_id("ra"), owner, self.now(), name, username, password))

    def check(self, owner: Account, id: str) -> None:
        """RESOURCE_NOT_FOUND if a login is named that the account does not have."""
        if id:
            self.find(owner, id)


@dataclass
class SimulatedJob(Record):
    type: str
    instance: str
    settings: dict[str, str]
    line: Timeline
    trouble: tuple[str, str] = ("", "")

    @property
    def error(self) -> tuple[str, str]:
        """Name and text of what went wrong, once the job has failed."""
        return self.trouble if self.line.state == "fail" else ("", "")


JOB_ENDS = frozenset(["fail", "success", "break"])


class Worked(Protocol):
    """What a job needs of the instance it works on."""

    id: str
    owner: Account
    jobs: list[str]

    @property
    def status(self) -> str: ...


class SimulatedJobs(Book[SimulatedJob]):
    missing = "JOB_NOT_FOUND"
    text = "job not found"

    def __init__(self, world: World, auths: Auths, images: "Images") -> None:
        super().__init__(world)
        self.auths, self.images = auths, images
        self.all = Kept(world.bounds.records, over=lambda job: job.line.state in JOB_ENDS)

    def running(self, instance: Worked) -> list[SimulatedJob]:
        jobs = (self.all[id] for id in instance.jobs if id in self.all)
        return [job for job in jobs if job.line.state not in JOB_ENDS]

    def begin(self, instance: Worked, type: str, settings: dict[str, str]) -> SimulatedJob:
        line = Timeline(self.world, "pulling")
        line.then(("running", 0.2), ("success", 0.8))
        job = self.add(
            SimulatedJob(self.world.new_id("job"), instance.owner, self.now(), type, instance.id, settings, line)
        )
        instance.jobs.append(job.id)
        if (reason := self.world.fate()) != "":
            line.then(("running", 0.2), *([] if reason is None else [("fail", 0.8)]))
            job.trouble = ("UNKNOWN", reason) if reason is not None else ("", "")
        return job

    def save_image(self, instance: Worked, image: str, auth_id: str) -> SimulatedJob:
        """Begin to save an instance as an image. It must be stopped, as Novita's guide says."""
        self.auths.check(instance.owner, auth_id)
        if instance.status != "exited":
            raise refuse("CONFLICT", f"stop the instance first: it is {instance.status}")
        if running := self.running(instance):
            raise refuse("CONFLICT", f"job {running[0].id} still runs on the instance")
        return self.begin(instance, "saveImage", {"image": image, "registryAuthId": auth_id})

    def stop(self, owner: Account, id: str) -> SimulatedJob:
        job = self.find(owner, id)
        if job.line.state in JOB_ENDS:
            raise refuse("CONFLICT", f"job is {job.line.state}")
        job.line.set("break")
        return job

    def settle(self, look: bool = False) -> None:
        for job in list(self.all.values()):
            for state, _ in job.line.moves(look=look):
                if state == "success" and job.type == "saveImage":
                    self.images.keep(job)


@dataclass
class SimulatedImage(Record):
    """A saved image. `name` is registry/repository, and `tags` are the tags saved under this name."""

    name: str
    tags: list[str]


class Images(Book[SimulatedImage]):
    missing = "IMAGE_NOT_FOUND"
    text = "image not found"

    def keep(self, job: SimulatedJob) -> None:
        # The last colon starts the tag, unless it belongs to the registry's port.
        name, colon, tag = job.settings["image"].rpartition(":")
        if not colon or "/" in tag:
            name, tag = job.settings["image"], "latest"
        known = next((each for each in self.of(job.owner) if each.name == name), None)
        if known is None:
            self.add(SimulatedImage(self.world.new_id("img"), job.owner, self.now(), name, [tag]))
        elif tag not in known.tags:
            known.tags.append(tag)


@dataclass
class SimulatedPrewarm(Record):
    image: str
    cluster: str
    auth_id: str
    products: list[str]
    note: str
    line: Timeline
    trouble: list[str] = field(default_factory=list[str])
    size: int = 0
    completed_at: int = 0

    @property
    def short_name(self) -> str:
        """The image without registry and folder."""
        return self.image.rsplit("/", 1)[-1]

    @property
    def reason(self) -> list[str] | None:
        """What went wrong, once the task has failed."""
        return self.trouble if self.line.state == "failed" else None


class Prewarms(Book[SimulatedPrewarm]):
    text = "image prewarm task not found"
    limit = 5
    largest_gb = 100

    def __init__(self, world: World, auths: Auths) -> None:
        super().__init__(world)
        self.auths = auths

    def create(
        self, owner: Account, image: str, cluster: str, auth_id: str, wanted: list[str], note: str
    ) -> SimulatedPrewarm:
        if cluster not in clusters():
            raise refuse("VALIDATOR_PARAM", f"cluster {cluster} does not exist")
        self.auths.check(owner, auth_id)
        for id in wanted:
            if id not in products() or cluster not in products()[id].clusters:
                raise refuse("RESOURCE_NOT_FOUND", f"product {id} not found in {cluster}")
        if len(self.of(owner)) >= self.limit:
            raise refuse("OPERATION_LIMIT", f"at most {self.limit} prewarm tasks")
        covered = wanted or [each.id for each in products().values() if cluster in each.clusters]
        line = Timeline(self.world, "pending")
        bad = image.split("/")[0].endswith(".invalid")
        line.then(("running", 0.2), ("failed" if bad else "succeeded", 1.0))
        trouble = [f"failed to pull {image}: no such host"] if bad else []
        id = self.world.new_id("pw")
        return self.add(SimulatedPrewarm(id, owner, self.now(), image, cluster, auth_id, covered, note, line, trouble))

    def has(self, owner: Account, image: str, cluster: str) -> bool:
        """Whether a prewarm task has made the image ready in the cluster."""
        return any(p.image == image and p.cluster == cluster and p.line.state == "succeeded" for p in self.of(owner))

    def delete_all(self, owner: Account, ids: list[str]) -> None:
        for id in ids:
            self.find(owner, id)
        for id in set(ids):
            del self.all[id]

    def settle(self, look: bool = False) -> None:
        for task in self.all.values():
            for state, at in task.line.moves(look=look):
                if state in ("succeeded", "failed"):
                    task.completed_at = int(at)
                    # The size is invented, but the same image always has the same one.
                    task.size = sum(task.image.encode()) * 1_000_003 % 20_000_000_000 if state == "succeeded" else 0
