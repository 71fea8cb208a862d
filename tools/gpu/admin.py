"""GPU administration tools: volumes, networks, registry logins, images, billing. They are off unless switched on."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from ...novita.core.errors import InputError
from ...novita.gpu.instances import InstanceGoal, check_env, secret_words
from ...novita.gpu.meters import follow_gone
from ...novita.gpu.products import find_regions
from ...novita.gpu.resources import (
    create_login,
    create_network,
    create_prewarm,
    delete_resource,
    get_metrics,
    list_logins,
    list_networks,
    login_id,
    note_prewarm,
    rename_network,
    save_image,
)
from ...novita.gpu.routes import act
from ..kit.arguments import Confirm, DryRun, Wait
from ..kit.container_images import ContainerImage
from ..kit.context import Call
from ..kit.purchase import Purchase, carry_out, destruction
from ..kit.toolset import DESTROYS, READS, SPENDS, WRITES, Toolset
from .admin_results import (
    AdminResult,
    MetricsResult,
    Resources,
    background_job,
    choose_one,
    read_metrics,
    read_resources,
)
from .billing import changed_billing
from .creating import mounted_volumes
from .growing import edited_instance, grown_volume, new_volume
from .results import InstanceResult
from .templates import update_gpu_template
from .waiting import find_instance, wait_for

gpu_admin = Toolset("gpu_admin", "Volumes, networks, logins, images, billing and metrics of GPU instances.")

Kind = Annotated[
    Literal[
        "regions",
        "cpu_products",
        "volumes",
        "networks",
        "registry_logins",
        "prewarmed_images",
        "saved_images",
        "jobs",
    ],
    Field(description="Which kind."),
]
Deletable = Annotated[
    Literal["volume", "network", "registry_login", "prewarmed_image", "saved_image", "job"],
    Field(description="Which kind."),
]
InstanceId = Annotated[str, Field(description="Its id or name.")]
Region = Annotated[str | None, Field(description="Id or name; see list_gpu_resources.")]


@gpu_admin.tool("List GPU resources", READS)
async def list_gpu_resources(
    call: Call,
    kind: Kind,
    id: Annotated[str | None, Field(description="Only this one.")] = None,
    wait_seconds: Annotated[float | None, Field(ge=0, le=3_600, description="Jobs with id: until done.")] = None,
) -> Resources:
    """List what else there is around GPU machines: regions, machines without a GPU (CPU products) with prices, storage
    volumes, private networks, logins of image registries, prewarmed and saved images, jobs in progress; one job can be
    waited for. Free.
    """
    if wait_seconds and (kind != "jobs" or not id):
        raise InputError("wait_seconds is for one job", next_step="Give kind=jobs and its id.")
    return await read_resources(call, kind, id, wait_seconds)


@gpu_admin.tool("Get GPU metrics", READS)
async def get_gpu_metrics(
    call: Call,
    instance_id: InstanceId,
    minutes: Annotated[int, Field(ge=2, le=10_080, description="How far back.")] = 60,
) -> MetricsResult:
    """How busy is a GPU machine? Its load over the last minutes or hours in percent: lowest, mean, highest and last use
    of CPU, memory, disk and GPU. Free.
    """
    end, instance = int(call.app.jobs.clock.wall()), await find_instance(call, instance_id)
    found = await get_metrics(
        call.novita, instance.id, start=end - minutes * 60, end=end, interval=max(16, minutes * 60 // 120)
    )
    return read_metrics(instance.id, found)


@gpu_admin.tool("Delete a GPU resource", DESTROYS)
async def delete_gpu_resource(
    call: Call,
    kind: Deletable,
    id: Annotated[str, Field(description="Its id or name.")],
    confirm: Confirm = False,
) -> AdminResult:
    """Delete a storage volume, private network, registry login, prewarmed or saved image for good, or stop a job; asks
    first. For a machine use delete_gpu_instance. Free; says whether it is gone.
    """

    async def plan() -> Purchase[AdminResult]:
        chosen = await choose_one(call, kind, id)
        what = chosen.words
        fate = "stopped before it is done" if kind == "job" else "deleted for good, with all data in it"

        async def delete() -> AdminResult:
            await delete_resource(call.novita, kind, chosen.id)
            if kind == "volume":
                await follow_gone(call.app.journal, call.owner, chosen.id, sure=True)
            return AdminResult(status="done", id=chosen.id, what=f"{what}: {'stopped' if kind == 'job' else 'deleted'}")

        about = f"delete {kind} {chosen.id}"
        return destruction(AdminResult, f"{what} will be {fate}.", model=kind, about=about, act=delete)

    return await carry_out(call, plan, confirm=confirm)


@gpu_admin.tool("Create or grow a volume", SPENDS)
async def save_gpu_volume(
    call: Call,
    size_gb: Annotated[int | None, Field(ge=10, le=1_000_000, description="It only grows.")] = None,
    name: Annotated[str | None, Field(description="Its name.")] = None,
    region: Region = None,
    id: Annotated[str | None, Field(description="Change this one.")] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> AdminResult:
    """Create a storage volume (network disk) that GPU machines can share and that outlives them; or, with id, rename
    one or make it bigger. Costs about $0.002 per GB and day, asks first; returns its id.
    """
    if id is not None:
        plan = partial(grown_volume, call, id, name, size_gb, region)
    elif size_gb is None or not name or not region:
        raise InputError("A new volume needs name, region and size_gb")
    else:
        plan = partial(new_volume, call, name, size_gb, region)
    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


@gpu_admin.tool("Create or rename a private network", WRITES)
async def save_gpu_network(
    call: Call,
    name: Annotated[str, Field(min_length=1, max_length=30, description="Its name.")],
    region: Region = None,
    id: Annotated[str | None, Field(description="Rename this one.")] = None,
) -> AdminResult:
    """Create a private network (VPC) through which GPU machines of one region reach each other; or, with id, rename
    one. Free; returns its id.
    """
    if id is not None:
        network = await choose_one(call, "network", id)
        await rename_network(call.novita, network.id, name)
        return AdminResult(status="done", id=network.id, what=f"network renamed to {name!r}")
    if not region:
        raise InputError("A new network needs a region")
    place = (await find_regions(call.novita, region))[0]
    if not place.support_instance_network:
        raise InputError(f"{place.id} has no private networks", next_step="See list_gpu_resources with kind=regions.")
    made = await create_network(call.novita, name=name, region_id=place.id)
    if not made:
        made = next((each.id for each in await list_networks(call.novita) if each.name == name), "")
    return AdminResult(status="done", id=made or None, what=f"network {name!r} in {place.id}")


@gpu_admin.tool("Save a registry login", WRITES)
async def save_registry_login(
    call: Call,
    name: Annotated[str, Field(max_length=255, description="Registry, e.g. docker.io.")],
    username: Annotated[str, Field(max_length=511, description="User.")],
    password: Annotated[str, Field(max_length=1024, description="Never shown again.")],
) -> AdminResult:
    """Save the user name and password of a private image registry, so that machines can pull private Docker images.
    Free; returns an id to give as imageAuthId. The password is never shown again.
    """
    made = await create_login(call.novita, name=name, username=username, password=password)
    if not made:
        same = [each for each in await list_logins(call.novita) if (each.name, each.username) == (name, username)]
        made = same[-1].id if same else ""
    return AdminResult(status="done", id=made or None, what=f"login of {username} at {name}")


@gpu_admin.tool("Prewarm an image", WRITES)
async def prewarm_gpu_image(
    call: Call,
    image: Annotated[ContainerImage | None, Field(description="Container image.")] = None,
    region: Region = None,
    product_ids: Annotated[list[str] | None, Field(description="Default all.")] = None,
    registry_auth_id: Annotated[str | None, Field(description="Registry login.")] = None,
    note: Annotated[str | None, Field(description="Free text.")] = None,
    id: Annotated[str | None, Field(description="Only change this one's note.")] = None,
) -> AdminResult:
    """Cache a Docker image in a region beforehand, so that GPU machines with it start faster. Free; returns the state
    of the cache.
    """
    if id is not None:
        if image or region or product_ids or registry_auth_id:
            raise InputError("Only the note of a prewarmed image can change", next_step="Give id and note.")
        chosen = await choose_one(call, "prewarmed_image", id)
        await note_prewarm(call.novita, chosen.id, note or "")
        return AdminResult(status="done", id=chosen.id, what="note changed")
    if not image or not region:
        raise InputError("Prewarming needs image and region")
    place = (await find_regions(call.novita, region))[0]
    made = await create_prewarm(
        call.novita,
        image=image,
        region_id=place.id,
        registry_auth_id=await login_id(call.novita, registry_auth_id or ""),
        product_ids=product_ids or [],
        note=note,
    )
    step = "list_gpu_resources with kind=prewarmed_images shows when it is ready."
    return AdminResult(status="done", id=made or None, what=f"prewarming {image} in {place.id}", next_step=step)


@gpu_admin.tool("Save an instance as an image", WRITES)
async def save_gpu_image(
    call: Call,
    instance_id: InstanceId,
    image: Annotated[ContainerImage, Field(description="Target: registry/repository:tag.")],
    registry_auth_id: Annotated[str | None, Field(description="Login of a private registry.")] = None,
    wait_seconds: Wait = None,
) -> AdminResult:
    """Save a stopped GPU machine, with all that was installed on it, as a Docker image in a registry: a snapshot to
    start others from. Waits for the job. Free; returns the image.
    """

    async def plan() -> Purchase[AdminResult]:
        instance = await find_instance(call, instance_id)
        if instance.status != "exited":
            raise InputError(
                f"Instance {instance.label()} is {instance.status}: only a stopped one can be saved",
                next_step="Stop it first with stop_gpu_instance.",
            )

        login = await login_id(call.novita, registry_auth_id or "")

        async def save() -> str:
            job_id = await save_image(call.novita, instance_id=instance.id, image=image, registry_auth_id=login)
            await call.progress(f"job {job_id} accepted")
            return job_id

        what = f"{instance.name!r} as {image}"
        sending = background_job(call, save, what, wait_seconds)
        return Purchase(answer=AdminResult, effect=f"Save {what}.", model="image", sending=sending)

    return await carry_out(call, plan, confirm=False)


@gpu_admin.tool("Edit a GPU instance", SPENDS)
async def edit_gpu_instance(
    call: Call,
    instance_id: InstanceId,
    ports: Annotated[list[str] | None, Field(description="The whole new set: 8888/http, 22/tcp.")] = None,
    add_disk_gb: Annotated[int | None, Field(ge=1, le=6144, description="Grow the root disk.")] = None,
    web_terminal: Annotated[bool | None, Field(description="Browser terminal.")] = None,
    auto_migrate: Annotated[bool | None, Field(description="Move by itself when its host fails.")] = None,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> AdminResult:
    """Change a rented GPU machine: open other ports, enlarge its disk, switch the browser terminal or automatic
    migration on or off. Disk above 60 GB costs by the day, shown before; returns its state.
    """
    plan = partial(
        edited_instance,
        call,
        instance_id,
        ports=ports,
        add_disk_gb=add_disk_gb,
        web_terminal=web_terminal,
        auto_migrate=auto_migrate,
    )
    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


@gpu_admin.tool("Change a GPU instance's image", DESTROYS)
async def upgrade_gpu_instance(
    call: Call,
    instance_id: InstanceId,
    image: Annotated[ContainerImage | None, Field(description="Container image.")] = None,
    command: Annotated[str | None, Field(description="Start command.")] = None,
    entrypoint: Annotated[str | None, Field(description="Entry point.")] = None,
    env: Annotated[dict[str, str] | None, Field(description="All variables.")] = None,
    volumes: Annotated[dict[str, str] | None, Field(description="All network volumes: id: path.")] = None,
    save_data: Annotated[bool, Field(description="Keep its disk.")] = False,
    wait_seconds: Wait = None,
    confirm: Confirm = False,
) -> InstanceResult:
    """Give a GPU machine another Docker image, start command, variables or volumes; what is not named stays. It
    restarts, and its disk is lost unless save_data is true; asks first. Costs its hourly price as before; returns its
    state.
    """

    async def plan() -> Purchase[InstanceResult]:
        instance = await find_instance(call, instance_id)
        check_env(env or {})
        variables = {each.key: each.value.get_secret_value() for each in instance.envs} if env is None else env
        mounted = {each.id: each.mount_path for each in instance.volume_mounts if each.type == "network" and each.id}
        mounts = mounted if volumes is None else (await mounted_volumes(call, volumes))[0]
        body = {
            "instanceId": instance.id,
            "imageUrl": image or instance.image_url,
            "envs": [{"key": key, "value": value} for key, value in variables.items()],
            "command": instance.command if command is None else command,
            "entrypoint": instance.entrypoint if entrypoint is None else entrypoint,
            "save": save_data,
            "networkVolume": {
                "volumeMounts": [{"type": "network", "id": id, "mountPath": path} for id, path in mounts.items()]
            },
        }
        if instance.image_auth_id:
            body["imageAuthId"] = instance.image_auth_id
        changes = [f"image {instance.image_url} -> {image}"] if image else []
        changes += [f"command {command!r}"] if command is not None else []
        changes += [f"entry point {entrypoint!r}"] if entrypoint is not None else []
        changes += [f"variables {', '.join(sorted(variables)) or 'none'}"] if env is not None else []
        changes += [f"volumes {', '.join(mounts) or 'none'}"] if volumes is not None else []
        if not changes:
            raise InputError("Nothing to change was given")
        loss = "Its disk is kept." if save_data else "All data on its disk is lost."

        async def upgrade() -> InstanceResult:
            begun = call.app.jobs.clock.wall()
            await act(call.novita, "upgrade_gpu_instance", body, secrets=secret_words(variables))
            return await wait_for(call, instance, InstanceGoal.RUNNING, wait_seconds, begun=begun)

        effect = f"Change instance {instance.label()}: {'; '.join(changes)}. It restarts. {loss}"
        return destruction(
            InstanceResult, effect, model=instance.product_id, about=f"upgrade {instance.id} {save_data}", act=upgrade
        )

    return await carry_out(call, plan, confirm=confirm)


@gpu_admin.tool("Move a GPU instance", DESTROYS)
async def migrate_gpu_instance(
    call: Call, instance_id: InstanceId, wait_seconds: Wait = None, confirm: Confirm = False
) -> InstanceResult:
    """Move a GPU machine to another host, as when its spot place was taken back or its host is broken. Its disk is
    lost; asks first. Costs its hourly price as before; returns its state.
    """

    async def plan() -> Purchase[InstanceResult]:
        instance = await find_instance(call, instance_id)

        async def move() -> InstanceResult:
            begun = call.app.jobs.clock.wall()
            await act(call.novita, "migrate_gpu_instance", {"instanceId": instance.id})
            return await wait_for(call, instance, InstanceGoal.RUNNING, wait_seconds, begun=begun)

        loss = "Data on its disks is lost; it runs, and costs, then."
        effect = f"Move instance {instance.label()} to another host. {loss}"
        return destruction(InstanceResult, effect, model=instance.product_id, about=f"migrate {instance.id}", act=move)

    return await carry_out(call, plan, confirm=confirm)


@gpu_admin.tool("Change how a GPU instance is billed", SPENDS)
async def change_gpu_billing(
    call: Call,
    instance_id: InstanceId,
    action: Annotated[
        Literal["renew", "to_monthly", "to_on_demand", "auto_renew_on", "auto_renew_off"], Field(description="What.")
    ],
    months: Annotated[int, Field(ge=1, le=12, description="Term, or per renewal.")] = 1,
    confirm: Confirm = False,
    dry_run: DryRun = False,
) -> AdminResult:
    """Change how a GPU machine is paid: by the month in advance instead of by the hour or back, renew the term, or let
    it renew itself. Terms are paid in advance; shows the price and asks first. Returns its state.
    """
    plan = partial(changed_billing, call, instance_id, action, months)
    return await carry_out(call, plan, confirm=confirm, dry_run=dry_run)


gpu_admin.tool("Change a GPU template", DESTROYS)(update_gpu_template)
