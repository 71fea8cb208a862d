"""Tools for templates: reading them is part of the gpu toolset, changing them of its administration."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ...novita.core.errors import InputError
from ...novita.core.words import counted
from ...novita.gpu.instances import check_env, read_ports
from ...novita.gpu.resources import login_id
from ...novita.gpu.templates import (
    Template,
    create_template,
    delete_template,
    find_template,
    get_template,
    list_templates,
    template_body,
    update_template,
)
from ..kit.arguments import SELDOM, Agreed, Confirm
from ..kit.container_images import ContainerImage
from ..kit.context import Call
from ..kit.purchase import Purchase, carry_out, destruction
from ..kit.toolset import DESTROYS, READS, WRITES, ToolResult, Toolset

TEMPLATES_SHOWN = 60
README_SHOWN = 4_000


class TemplateLine(BaseModel):
    """One template in a list."""

    template_id: str = Field(description="For create_gpu_instance.")
    name: str = Field(description="Its name.")
    image: str = Field(description="Container image.")
    ports: tuple[str, ...] = Field(default=(), description="Open ports.")
    disk_gb: int | None = Field(default=None, description="Root disk.")


class TemplateList(ToolResult):
    """Templates."""

    templates: tuple[TemplateLine, ...] = Field(description="As Novita orders them.")
    more: str | None = Field(default=None, description="How to see the others.")

    def headline(self) -> str:
        return f"{counted(len(self.templates), 'template')}."


class TemplateResult(ToolResult):
    """One template, or the question that must be answered before it is changed or deleted."""

    status: Literal["ready", "deleted", "needs_confirmation"] = Field(description="What became of it.")
    template_id: str | None = Field(default=None, description="For create_gpu_instance.")
    name: str | None = Field(default=None, description="Its name.")
    channel: str | None = Field(default=None, description="official, community or private.")
    image: str | None = Field(default=None, description="Container image.")
    command: str | None = Field(default=None, description="Start command.")
    entrypoint: str | None = Field(default=None, description="Entry point.")
    ports: tuple[str, ...] | None = Field(default=None, description="Open ports.")
    env: tuple[str, ...] | None = Field(default=None, description="Names of its variables.")
    tools: tuple[str, ...] | None = Field(default=None, description="Tools in the image, such as Jupyter.")
    disk_gb: int | None = Field(default=None, description="Root disk.")
    min_cuda: str | None = Field(default=None, description="Lowest CUDA version.")
    readme: str | None = Field(default=None, description="Its text, shortened.")
    model: str | None = Field(default=None, description="What the question is about.")
    estimated_cost_usd: str | None = Field(default=None, description="Of a change: 0.")
    next_step: str | None = Field(default=None, description="What to do now.")

    def headline(self) -> str:
        match self.status:
            case "ready":
                return f"Template {self.name}."
            case "deleted":
                return f"Template {self.name} is deleted."
            case "needs_confirmation":
                return "Nothing was sent yet."


def _shown(template: Template) -> TemplateResult:
    return TemplateResult(
        status="ready",
        template_id=template.id,
        name=template.name,
        channel=template.channel or None,
        image=template.image,
        command=template.start_command or None,
        entrypoint=template.entrypoint or None,
        ports=tuple(template.port_list()),
        env=tuple(variable.key for variable in template.envs),
        tools=tuple(f"{tool.name} on {tool.port}/{tool.type}" for tool in template.tools),
        disk_gb=template.rootfs_size,
        min_cuda=template.min_cuda_version or None,
        readme=template.readme[:README_SHOWN] or None,
    )


TemplateId = Annotated[str, Field(description="Id or name of the template.")]
Env = Annotated[dict[str, str] | None, Field(description="Variables.")]
Ports = Annotated[list[str] | None, Field(description="Such as 8888/http, 22/tcp.")]


async def list_gpu_templates(
    call: Call,
    channel: Annotated[Literal["official", "community", "private"], Field(description="Whose templates.")] = "official",
    name: Annotated[str | None, Field(description="Part of the name.")] = None,
) -> TemplateList:
    """Which ready-made setups a GPU machine can start from: preconfigured images and presets such as PyTorch, ComfyUI,
    vLLM or Jupyter, official, community or my own. Free; returns their template_id.
    """
    found = await list_templates(call.novita, channel, name=name)
    lines = tuple(
        TemplateLine(
            template_id=each.id,
            name=each.name,
            image=each.image,
            ports=tuple(each.port_list()),
            disk_gb=each.rootfs_size,
        )
        for each in found[:TEMPLATES_SHOWN]
    )
    rest = len(found) - len(lines)
    return TemplateList(templates=lines, more=f"{rest} more: narrow with name." if rest > 0 else None)


async def get_gpu_template(call: Call, template_id: TemplateId) -> TemplateResult:
    """One GPU template or preset in full: its Docker image, start command, ports, environment variables, disk and
    readme. To find one: list_gpu_templates. Free.
    """
    return _shown(await find_template(call.novita, template_id))


async def create_gpu_template(
    call: Call,
    name: Annotated[str, Field(max_length=255, description="What to call it.")],
    image: Annotated[ContainerImage, Field(max_length=500, description="Docker image.")],
    command: Annotated[str | None, Field(max_length=2047, description="Start command.")] = None,
    ports: Ports = None,
    env: Env = None,
    disk_gb: Annotated[int | None, Field(ge=10, le=6144, description="Default 60."), SELDOM] = None,
    options: Annotated[dict[str, str] | None, Field(description="entrypoint, readme, imageAuth."), SELDOM] = None,
) -> TemplateResult:
    """Save a Docker image with its start command, ports and variables as my own GPU template: a preset or setup to
    reuse for new machines. Free; returns its template_id.
    """
    extra = options or {}
    for key in extra:
        if key not in ("entrypoint", "readme", "imageAuth", "minCudaVersion"):
            raise InputError(
                f"Unknown option {key!r}", next_step="There are: entrypoint, readme, imageAuth, minCudaVersion."
            )
    check_env(env or {})
    body = template_body(
        name=name,
        image=image,
        command=command or "",
        entrypoint=extra.get("entrypoint", ""),
        disk_gb=disk_gb or 60,
        ports=read_ports(ports or ()),
        env=env or {},
        readme=extra.get("readme", ""),
        registry_auth_id=await login_id(call.novita, extra.get("imageAuth", "")),
        min_cuda=extra.get("minCudaVersion", ""),
    )
    template_id = await create_template(call.novita, body, env or {})
    return TemplateResult(
        status="ready",
        template_id=template_id or None,
        name=name,
        channel="private",
        image=image,
        next_step="Give template_id to create_gpu_instance." if template_id else "See list_gpu_templates for its id.",
    )


async def delete_gpu_template(call: Call, template_id: TemplateId, confirm: Agreed = False) -> TemplateResult:
    """Delete, remove or throw away one of my own GPU templates or presets that is no longer used; asks first. Machines
    made from it stay. Free; says whether it is gone.
    """

    async def plan() -> Purchase[TemplateResult]:
        template = await find_template(call.novita, template_id)

        async def delete() -> TemplateResult:
            await delete_template(call.novita, template.id)
            return TemplateResult(status="deleted", template_id=template.id, name=template.name)

        effect = f"Delete template {template.name!r} ({template.id}). This cannot be undone."
        return destruction(TemplateResult, effect, model="template", about=f"delete {template.id}", act=delete)

    return await carry_out(call, plan, confirm=confirm)


async def update_gpu_template(
    call: Call,
    template_id: TemplateId,
    name: Annotated[str | None, Field(min_length=1, max_length=255, description="What to call it.")] = None,
    image: Annotated[ContainerImage | None, Field(min_length=1, max_length=500, description="Docker image.")] = None,
    command: Annotated[str | None, Field(max_length=2047, description="Start command.")] = None,
    ports: Ports = None,
    env: Env = None,
    disk_gb: Annotated[int | None, Field(ge=10, le=6144, description="Root disk.")] = None,
    confirm: Confirm = False,
) -> TemplateResult:
    """Change one of my own GPU templates or presets: its name, Docker image, start command, ports, variables or disk;
    what is not named stays. Shows the difference and asks first. Free; returns the template.
    """

    async def plan() -> Purchase[TemplateResult] | TemplateResult:
        old = await find_template(call.novita, template_id)
        variables = {each.key: each.value.get_secret_value() for each in old.envs} if env is None else env
        check_env(variables)
        given: dict[str, tuple[Any, Any]] = {
            "name": (old.name, name),
            "image": (old.image, image),
            "command": (old.start_command, command),
            "ports": (old.port_list(), ports),
            "disk_gb": (old.rootfs_size, disk_gb),
        }
        changes = [f"{key}: {was} -> {now}" for key, (was, now) in given.items() if now is not None and now != was]
        if env is not None:
            changes.append(f"env: {', '.join(sorted(env)) or 'none'}")
        if not changes:
            return _shown(old).model_copy(update={"next_step": "Nothing differs; nothing was sent."})
        body = template_body(
            name=name or old.name,
            image=image or old.image,
            command=old.start_command if command is None else command,
            entrypoint=old.entrypoint,
            disk_gb=disk_gb or old.rootfs_size or 60,
            ports=read_ports(old.port_list() if ports is None else ports),
            env=variables,
            readme=old.readme,
            registry_auth_id=old.image_auth,
            min_cuda=old.min_cuda_version,
        )

        async def update() -> TemplateResult:
            await update_template(call.novita, old.id, body, variables)
            return _shown(await get_template(call.novita, old.id))

        effect = f"Change template {old.name!r} ({old.id}): {'; '.join(changes)}."
        return destruction(TemplateResult, effect, model="template", about=f"change {old.id}", act=update)

    return await carry_out(call, plan, confirm=confirm)


def add_template_tools(toolset: Toolset) -> None:
    """Add the template tools that belong to the gpu toolset."""
    toolset.tool("List GPU templates", READS)(list_gpu_templates)
    toolset.tool("Get a GPU template", READS)(get_gpu_template)
    toolset.tool("Create a GPU template", WRITES)(create_gpu_template)
    toolset.tool("Delete a GPU template", DESTROYS)(delete_gpu_template)
