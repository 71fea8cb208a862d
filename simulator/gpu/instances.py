"""Instances: how one is ordered, which states it passes through, and what it costs. Nothing here knows of HTTP.

Both generations of routes work on the same `Fleet`. It refuses with a `Fault` from the GPU error table.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..core.bounds import Kept
from ..core.metering import DAY, MONTH, Meter
from ..core.timeline import Timeline
from ..core.world import Account, World
from .extras import Auths, Networks, Prewarms, SimulatedJobs, Storages
from .market import (
    DISK_GB_DAY,
    FREE_DISK_GB,
    MarketProduct,
    Stock,
    clusters,
    pay,
    per_day,
    products,
    refuse,
)
from .order import OrderedMount, OrderedPort, SimulatedOrder, check_ports, term_price, version

KEEP_DATA_DAYS = 7

# An instance is billed "from state pulling until stopped" (x-billing in gpu.yaml).
BILLED = frozenset(
    ["pulling", "running", "toStop", "stopping", "toRestart", "restarting", "toReset", "resetting", "migrating"]
)

# The states that an operation leads through, each with its time after the one before. The unit is task_seconds.
STARTING = (("starting", 0.1), ("running", 0.4))
STOPPING = (("stopping", 0.1), ("exited", 0.4))
RESTARTING = (("restarting", 0.1), ("running", 0.5))
REMOVING = (("removing", 0.1), ("removed", 0.3))
RESETTING = (("resetting", 0.1), ("pulling", 0.3), ("running", 0.6))
PULL, CACHED_PULL = 1.0, 0.1
NEVER = ("", "")
"""Stands in place of a failure: the boot never ends."""


class SimulatedInstance:
    """One rented machine. The fleet remembers it also after it is removed."""

    def __init__(self, world: World, owner: Account, id: str, order: SimulatedOrder, cluster: str) -> None:
        self.id = id
        self.owner = owner
        self.order = order
        self.cluster = cluster
        self.product: MarketProduct = products()[order.product_id]
        self.name = order.name or id
        self.line = Timeline(world, "toCreate")
        self.meter = Meter()
        self.disk = Meter()
        self.mounts: list[OrderedMount] = []
        self.network_ip = ""
        self.mode = order.mode
        self.end_time: int | None = None
        """End of the subscription, in Unix seconds."""
        self.error: tuple[str, str] | None = None
        """After a failure: name and text of the reason why it is in this state."""
        self.will_fail: tuple[str, str] | None = None
        self.holds_stock = True
        self.reclaim_at: int | None = None
        self.spot_status = "running" if order.mode == "spot" else ""
        self.created_at = int(world.clock.now())
        self.started_at = 0
        self.stopped_at = 0
        self.web_terminal = True
        self.jobs: list[str] = []
        self.password = secrets.token_urlsafe(12)
        self.web_password = secrets.token_urlsafe(12)
        self.ssh_port = 30000 + secrets.randbelow(2000)

    @property
    def status(self) -> str:
        return self.line.state

    @property
    def rate(self) -> int:
        """Micro dollars a day while it is billed. It is 0 for a subscription, which is paid in advance."""
        if self.mode == "monthly":
            return 0
        raw = self.product.spot_price if self.mode == "spot" and self.product.spot_price else self.product.price
        return per_day(raw) * self.order.cards

    @property
    def subscribed(self) -> bool:
        return self.mode == "monthly" and self.end_time is not None

    def paid_at(self, now: float) -> bool:
        """Whether its subscription still runs."""
        return self.subscribed and (self.end_time or 0) > now


@dataclass(frozen=True)
class InstanceParts:
    """The other parts of the GPU area that instances use."""

    stock: Stock
    auths: Auths
    storages: Storages
    networks: Networks
    prewarms: Prewarms
    jobs: SimulatedJobs


class Fleet:
    """All instances of the world."""

    def __init__(self, world: World, around: InstanceParts) -> None:
        self._world = world
        self._around = around
        around.storages.users.append(lambda id: any(mount.id == id for each in self._there() for mount in each.mounts))
        around.auths.users.append(lambda id: any(each.order.image_auth_id == id for each in self._there()))
        self._all: Kept[str, SimulatedInstance] = Kept(world.bounds.records, over=lambda each: each.status == "removed")
        self.limit = 50
        """How many instances an account may have. The documentation names the error but not the number."""

    def of(self, owner: Account, *, removed: bool = False) -> list[SimulatedInstance]:
        """The account's instances, newest first."""
        mine = [each for each in self._all.values() if each.owner is owner]
        return [each for each in reversed(mine) if (each.status == "removed") == removed]

    def _there(self) -> Iterator[SimulatedInstance]:
        return (each for each in self._all.values() if each.status != "removed")

    def find(self, owner: Account, id: str) -> SimulatedInstance:
        """RESOURCE_NOT_FOUND if the instance is removed, never existed, or belongs to somebody else."""
        found = self._all.get(id)
        if found is None or found.owner is not owner or found.status == "removed":
            raise refuse("RESOURCE_NOT_FOUND", f"instance {id} not found")
        return found

    def running(self, id: str) -> SimulatedInstance | None:
        """The running instance, whoever owns it: the programs on a machine do not ask for a key of Novita."""
        found = self._all.get(id)
        return found if found is not None and found.status == "running" else None

    # ordering

    def create(self, owner: Account, order: SimulatedOrder, operation: str) -> SimulatedInstance:
        """Check the order, find a cluster for it, and take the money if it is paid in advance."""
        product = self._check(owner, order)
        cluster = self._around.stock.place(product, order.cards, self._where(owner, order))
        if order.min_cuda and version(order.min_cuda) > version(product.cuda):
            raise refuse("INSUFFICIENT_RESOURCE", f"no host with CUDA {order.min_cuda} or newer, only {product.cuda}")
        instance = SimulatedInstance(self._world, owner, self._world.new_id("i"), order, cluster)
        price = term_price(product, order.months, order.cards) if order.mode == "monthly" else instance.rate // 24
        if owner.micro_usd < price:
            raise refuse("BALANCE_NOT_ENOUGH", "the balance must cover the term, or the first hour")
        if order.network_id:
            instance.network_ip = self._around.networks.join(owner, order.network_id, instance.id, order.network_ip)
        self._around.stock.take(product, cluster, order.cards)
        if order.mode == "monthly":
            pay(self._world, owner, price, operation, product, order.months, instance.id)
            instance.end_time = instance.created_at + order.months * MONTH
        self._mount(instance)
        self._boot(instance)
        self._all[instance.id] = instance
        return instance

    def _check(self, owner: Account, order: SimulatedOrder) -> MarketProduct:
        product = products().get(order.product_id)
        if product is None or product.kind != order.kind:
            raise refuse("RESOURCE_NOT_FOUND", f"product {order.product_id} not found")
        if order.cards > product.max_cards or order.cards < 1:
            raise refuse("VALIDATOR_PARAM", f"{product.name} takes 1 to {product.max_cards} cards")
        if order.kind == "gpu" and not 10 <= order.rootfs_gb <= product.max_rootfs_gb:
            raise refuse("VALIDATOR_PARAM", f"root disk must be 10 to {product.max_rootfs_gb} GB")
        if order.mode not in product.modes:
            raise refuse("UNSUPPORTED_BILLING_MODE", f"{product.name} is not offered as {order.mode}")
        if order.auto_renew and order.mode != "monthly":
            raise refuse("VALIDATOR_PARAM", "auto renewal is for monthly billing only")
        check_ports(order.ports, order.tools)
        self._around.auths.check(owner, order.image_auth_id)
        for cluster in order.clusters:
            if cluster not in clusters():
                raise refuse("VALIDATOR_PARAM", f"cluster {cluster} does not exist")
        if len(self.of(owner)) >= self.limit:
            raise refuse("CREATE_INSTANCE_LIMIT", f"at most {self.limit} instances")
        return product

    def _where(self, owner: Account, order: SimulatedOrder) -> list[str]:
        """The clusters it may run in: the wanted ones, or the one that holds its volumes and private network."""
        tied = {self._around.storages.find(owner, id).cluster for id, _ in order.volumes}
        if order.network_id:
            tied.add(self._around.networks.find(owner, order.network_id).cluster)
        if len(tied) > 1 or (tied and order.clusters and not tied & set(order.clusters)):
            raise refuse("VALIDATOR_PARAM", "network volumes and network must be in the cluster of the instance")
        return list(tied) or order.clusters

    def _mount(self, instance: SimulatedInstance) -> None:
        order = instance.order
        instance.mounts = [
            OrderedMount("network", self._around.storages.find(instance.owner, id).size_gb, id, path or "/network")
            for id, path in order.volumes
        ]
        if instance.product.local_gb:
            instance.mounts.append(OrderedMount("local", instance.product.local_gb, "", order.local_mount))

    def _boot(self, instance: SimulatedInstance) -> None:
        order = instance.order
        pull = CACHED_PULL if self._around.prewarms.has(instance.owner, order.image, instance.cluster) else PULL
        instance.will_fail = self._trouble_with(order.image)
        steps = (("creating", 0.1), ("pulling", 0.4), ("running", pull))
        instance.line.set("toCreate", *(steps[:-1] if instance.will_fail == NEVER else steps))

    def _trouble_with(self, image: str) -> tuple[str, str] | None:
        """Why the next boot will fail, or None. A test may have ordered it, or no registry can have the image."""
        if (reason := self._world.fate()) != "":
            return NEVER if reason is None else ("UNKNOWN", reason)
        # RFC 2606 reserves .invalid: no such host can exist.
        if image.split("/")[0].endswith(".invalid"):
            return "IMAGE_NOT_FOUND", f"failed to pull {image}: no such host"
        return None

    # what its owner does with it

    def start(self, instance: SimulatedInstance) -> None:
        self._expect(instance, "start", "exited")
        if instance.mode == "monthly":
            if not instance.paid_at(self._world.clock.now()):
                raise refuse("EXPIRED_OR_BALANCE_NOT_ENOUGH", "the subscription has ended")
        elif instance.owner.micro_usd < instance.rate // 24:
            raise refuse("BALANCE_NOT_ENOUGH", "the balance must cover the first hour")
        self._hold(instance)
        instance.error = None
        if instance.mode == "spot":
            instance.spot_status, instance.reclaim_at = "running", None
        instance.line.set("toStart", *STARTING)

    def stop(self, instance: SimulatedInstance) -> None:
        self._expect(instance, "stop", "running")
        instance.line.set("toStop", *STOPPING)

    def restart(self, instance: SimulatedInstance) -> None:
        self._expect(instance, "restart", "running")
        instance.line.set("toRestart", *RESTARTING)

    def delete(self, instance: SimulatedInstance) -> None:
        if instance.paid_at(self._world.clock.now()):
            raise refuse("PREPAID_INSTANCE_NOT_SUPPORT_RELEASE", "the subscription still runs")
        if instance.status in ("toRemove", "removing"):
            raise refuse("CONFLICT", f"instance is {instance.status}")
        instance.line.set("toRemove", *REMOVING)
        self._entered(instance, "toRemove", instance.line.since)

    def migrate(self, instance: SimulatedInstance) -> None:
        """Move it to another host of the cluster. A job shows the progress."""
        self._expect(instance, "migrate", "running", "exited")
        if not self._room_elsewhere(instance):
            raise refuse("MIGRATE_INSUFFICIENT_RESOURCE", "no other host has room")
        self._move(instance, "instanceMigrate")

    def upgrade(
        self,
        instance: SimulatedInstance,
        *,
        image: str,
        image_auth_id: str,
        envs: list[dict[str, str]],
        command: str,
        entrypoint: str,
        volumes: list[tuple[str, str]] | None,
    ) -> None:
        """Give it another image and settings. It runs afterwards. With `volumes` None its volumes stay as they are."""
        self._expect(instance, "upgrade", "running", "exited")
        self._around.auths.check(instance.owner, image_auth_id)
        for id, _ in volumes or ():
            if self._around.storages.find(instance.owner, id).cluster != instance.cluster:
                raise refuse("VALIDATOR_PARAM", f"volume {id} is in another cluster")
        self._hold(instance)
        order = instance.order
        order.image, order.image_auth_id, order.envs = image, image_auth_id, envs
        order.command, order.entrypoint = command, entrypoint
        if volumes is not None:
            order.volumes = volumes
            self._mount(instance)
        instance.error, instance.will_fail = None, self._trouble_with(image)
        instance.line.set("toReset", *(RESETTING[:-1] if instance.will_fail == NEVER else RESETTING))
        self._entered(instance, "toReset", instance.line.since)

    def set_ports(self, instance: SimulatedInstance, ports: list[OrderedPort]) -> None:
        check_ports(ports, instance.order.tools)
        instance.order.ports = ports

    def grow(self, instance: SimulatedInstance, gb: int) -> None:
        if gb < 0 or instance.order.rootfs_gb + gb > instance.product.max_rootfs_gb:
            raise refuse("VALIDATOR_PARAM", f"root disk may grow to {instance.product.max_rootfs_gb} GB")
        instance.order.rootfs_gb += gb
        instance.disk.run_at(self._disk_rate(instance), self._world.clock.now())

    def renew(self, instance: SimulatedInstance, months: int, operation: str) -> None:
        if instance.status in ("toCreate", "creating", "pulling"):
            raise refuse("CREATING_INSTANCE_NOT_SUPPORT_RENEWAL")
        if not instance.subscribed:
            raise refuse("UNSUPPORTED_BILLING_MODE", "only a subscription can be renewed")
        self._subscribe(instance, months, operation)

    def to_monthly(self, instance: SimulatedInstance, months: int, operation: str) -> None:
        if instance.mode != "onDemand":
            raise refuse("UNSUPPORTED_BILLING_MODE", f"an instance billed {instance.mode} cannot become a subscription")
        self._subscribe(instance, months, operation)

    def to_on_demand(self, instance: SimulatedInstance) -> None:
        """Bill it by the second from now on. The rest of its subscription is not paid back."""
        if not instance.subscribed:
            raise refuse("UNSUPPORTED_BILLING_MODE", "the instance is not a subscription")
        instance.mode, instance.end_time, instance.order.auto_renew = "onDemand", None, False
        self._meter(instance, self._world.clock.now())

    def set_auto_renew(self, instance: SimulatedInstance, on: bool, months: int) -> None:
        if not instance.subscribed:
            raise refuse("UNSUPPORTED_BILLING_MODE", "only a subscription renews itself")
        if on and not 1 <= months <= 12:
            raise refuse("VALIDATOR_PARAM", "months per renewal must be 1 to 12")
        instance.order.auto_renew, instance.order.auto_renew_months = on, months

    def set_auto_migrate(self, instance: SimulatedInstance, on: bool, disk: bool) -> None:
        """`disk` says whether its system disk moves along."""
        instance.order.auto_migrate, instance.order.auto_migrate_disk = on, disk

    def reclaim(self, id: str, in_seconds: float = 0) -> None:
        """Announce that a spot instance will be taken back, and do so after `in_seconds`. Only tests call this."""
        instance = self._all[id]
        instance.spot_status = "notified"
        instance.reclaim_at = int(self._world.clock.now() + in_seconds)

    # time

    def settle(self, shown: Callable[[SimulatedInstance], bool] = lambda _: False) -> None:
        """Bring each instance up to the world's time and collect its cost. `shown` tells which one is asked about."""
        for instance in list(self._all.values()):
            if instance.status == "removed":
                continue
            for state, at in instance.line.moves(look=shown(instance)):
                self._entered(instance, state, at)
            self._by_itself(instance)
            self._collect(instance)

    def _by_itself(self, instance: SimulatedInstance) -> None:
        """What happens without a request: a subscription ends, a spot machine is taken back, old data is dropped."""
        now = self._world.clock.now()
        if instance.subscribed and not instance.paid_at(now):
            self._term_ended(instance)
        if instance.reclaim_at is not None and instance.spot_status == "notified" and instance.reclaim_at <= now:
            if instance.status == "running":
                instance.spot_status = "reclaiming"
                instance.line.set("toStop", *STOPPING)
            else:
                instance.spot_status = "terminated"
        if instance.status != "exited" or instance.paid_at(now):
            return
        if instance.order.auto_migrate and instance.spot_status == "terminated":
            # Its host took it back; its owner did not stop it.
            if self._room_elsewhere(instance):
                self._move(instance, "autoInstanceMigrate")
        elif instance.stopped_at + KEEP_DATA_DAYS * DAY <= now:
            instance.line.set("removed")
            self._entered(instance, "removed", max(instance.stopped_at + KEEP_DATA_DAYS * DAY, instance.end_time or 0))

    def _room_elsewhere(self, instance: SimulatedInstance) -> bool:
        return self._around.stock.free[instance.product.id, instance.cluster] >= instance.order.cards

    def _move(self, instance: SimulatedInstance, job: str) -> None:
        self._hold(instance)
        instance.error = None
        if instance.mode == "spot":
            instance.spot_status, instance.reclaim_at = "running", None
        instance.line.set("migrating", ("running", 1.0))
        self._entered(instance, "migrating", instance.line.since)
        self._around.jobs.begin(instance, job, {"instanceId": instance.id})

    def _term_ended(self, instance: SimulatedInstance) -> None:
        if instance.order.auto_renew:
            price = term_price(instance.product, instance.order.auto_renew_months, instance.order.cards)
            if price <= instance.owner.micro_usd:
                self._subscribe(instance, instance.order.auto_renew_months, "set_gpu_instance_auto_renew")
                return
        if instance.status == "running":
            self._out_of_money(instance, "the subscription has ended")

    def _collect(self, instance: SimulatedInstance) -> None:
        note, what = f"{instance.product.name} x {instance.order.cards}", "create_gpu_instance"
        paid = instance.meter.collect(self._world, instance.owner, what, note, instance.id)
        note = f"disk of {instance.name}"
        paid = instance.disk.collect(self._world, instance.owner, what, note, instance.id) and paid
        if not paid and instance.status == "running":
            self._out_of_money(instance, "the balance is used up")

    def _out_of_money(self, instance: SimulatedInstance, why: str) -> None:
        instance.error = ("EXPIRED_OR_BALANCE_NOT_ENOUGH", why)
        instance.line.set("toStop", *STOPPING)

    def _entered(self, instance: SimulatedInstance, state: str, at: float) -> None:
        if state == "running" and instance.will_fail and instance.will_fail[0]:
            # A boot that fails ends as a stopped instance, and its error says why.
            instance.error, instance.will_fail = instance.will_fail, None
            instance.line.set("exited")
            state = "exited"
        if state == "running":
            instance.started_at = int(at)
        if state in ("exited", "removed"):
            instance.stopped_at = int(at)
            if instance.spot_status == "reclaiming":
                instance.spot_status = "terminated"
            if state == "removed" or not instance.paid_at(at):
                self._release(instance)
        if state == "removed":
            self._around.networks.leave(instance.order.network_id, instance.id)
        self._meter(instance, at)

    def _meter(self, instance: SimulatedInstance, at: float) -> None:
        instance.meter.run_at(instance.rate if instance.status in BILLED else 0, at)
        instance.disk.run_at(self._disk_rate(instance), at)

    def _disk_rate(self, instance: SimulatedInstance) -> int:
        """Micro dollars a day for the root disk above the free size. A stopped instance pays for its disk, too."""
        if instance.status in ("toCreate", "creating", "toRemove", "removing", "removed"):
            return 0
        return max(0, instance.order.rootfs_gb - FREE_DISK_GB) * DISK_GB_DAY

    # small parts

    def _expect(self, instance: SimulatedInstance, what: str, *states: str) -> None:
        if instance.status not in states:
            raise refuse("CONFLICT", f"cannot {what} an instance that is {instance.status}")

    def _hold(self, instance: SimulatedInstance) -> None:
        if not instance.holds_stock:
            self._around.stock.take(instance.product, instance.cluster, instance.order.cards)
            instance.holds_stock = True

    def _release(self, instance: SimulatedInstance) -> None:
        if instance.holds_stock:
            self._around.stock.give_back(instance.product, instance.cluster, instance.order.cards)
            instance.holds_stock = False

    def _subscribe(self, instance: SimulatedInstance, months: int, operation: str) -> None:
        price = term_price(instance.product, months, instance.order.cards)
        pay(self._world, instance.owner, price, operation, instance.product, months, instance.id)
        begin = max(instance.end_time or 0, int(self._world.clock.now()))
        instance.mode, instance.end_time = "monthly", begin + months * MONTH
        self._meter(instance, self._world.clock.now())
