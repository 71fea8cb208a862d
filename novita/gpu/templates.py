"""Templates: saved settings for instances, of an image with its command, ports and variables."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from ..core.answers import Moment, Rows, Shape, Text, Whole, an_object, id_in, read_rows, read_shape
from ..core.by_name import the_one
from ..core.client import NovitaClient
from ..core.errors import InputError, NotFoundError
from .instances import EnvVar, secret_words
from .routes import act, ask

Channel = Literal["official", "community", "private"]


class TemplatePorts(Shape):
    """Ports of one type."""

    type: Text = ""
    ports: tuple[int, ...] = ()


class TemplateTool(Shape):
    """A tool bundled in the image, such as Jupyter."""

    name: Text = ""
    describe: Text = ""
    port: Text = ""
    type: Text = ""


class Template(Shape):
    """One template. Its variables may hold secrets."""

    id: Text = ""
    name: Text = ""
    readme: Text = ""
    type: Text = ""
    channel: Text = ""
    image: Text = ""
    image_auth: Text = ""
    start_command: Text = ""
    entrypoint: Text = ""
    rootfs_size: Whole = None
    ports: Rows[TemplatePorts] = ()
    envs: Rows[EnvVar] = ()
    tools: Rows[TemplateTool] = ()
    min_cuda_version: Text = ""
    created_at: Moment = None

    other_names: ClassVar[Mapping[str, str]] = {
        "template_id": "id",
        "create_time": "created_at",
        "command": "start_command",
        "rootfs_size_gb": "rootfs_size",
        "registry_auth_id": "image_auth",
    }

    def label(self) -> str:
        return f"{self.id} ({self.name}, {self.image})"

    def port_list(self) -> list[str]:
        """The ports in the form in which orders give them: `["8888/http"]`."""
        return [f"{port}/{group.type}" for group in self.ports for port in group.ports]


async def list_templates(
    client: NovitaClient, channel: Channel, *, name: str | None = None, size: int = 100
) -> list[Template]:
    """Templates of one channel, at most `size`."""
    params: dict[str, Any] = {
        "pageSize": size,
        "pageNum": 0,
        "channel": channel,
        # Novita's page requires this field: true for private templates, false for the others.
        "isMyCommunity": "true" if channel == "private" else "false",
        "name": name or None,
    }
    answer = await ask(client, "list_gpu_templates", params=params)
    return read_rows(Template, answer, "listing templates", "template", "templates", "data")


async def get_template(client: NovitaClient, template_id: str) -> Template:
    """One template in full.

    Raises:
        NotFoundError: There is no template of that id, or it belongs to somebody else.
    """
    answer = await ask(client, "get_gpu_template", params={"templateId": template_id})
    template = read_shape(Template, an_object(answer).get("template") or {}, "reading the template")
    if not template.id:
        raise NotFoundError(f"There is no template {template_id!r}", status=404, next_step="See list_gpu_templates.")
    return template


async def find_template(client: NovitaClient, wanted: str) -> Template:
    """A template by its id or its name. By name private templates are searched first, then official ones.

    Templates of strangers (channel=community) are found only by id.

    Raises:
        NotFoundError: There is no such template.
        InputError: Several templates have that name.
    """
    try:
        return await get_template(client, wanted)
    except NotFoundError as error:
        channels: tuple[Channel, ...] = ("private", "official")
        for channel in channels:
            named = [each for each in await list_templates(client, channel, name=wanted.strip()) if each.id != wanted]
            if (meant := the_one(wanted, named, f"{channel} templates", Template.label)) is not None:
                return await get_template(client, meant.id)
        error.next_step = "See list_gpu_templates; your own have channel=private."
        raise


def template_body(
    *,
    name: str,
    image: str,
    command: str,
    entrypoint: str,
    disk_gb: int,
    ports: Sequence[tuple[int, str]],
    env: Mapping[str, str],
    readme: str,
    registry_auth_id: str,
    min_cuda: str = "",
) -> dict[str, Any]:
    """The body of the v1 request that saves a private template for instances.

    Raises:
        InputError: There are more than ten ports of one type.
    """
    groups: list[dict[str, Any]] = []
    for kind in ("http", "tcp"):
        numbers = [port for port, its_kind in ports if its_kind == kind]
        if len(numbers) > 10:
            raise InputError(f"{len(numbers)} {kind} ports are too many for a template", next_step="At most 10.")
        if numbers:
            groups.append({"type": kind, "ports": numbers})
    body: dict[str, Any] = {
        "name": name,
        "type": "instance",
        "channel": "private",
        "image": image,
        "rootfsSize": disk_gb,
        "readme": readme,
        "imageAuth": registry_auth_id,
        "startCommand": command,
        "entrypoint": entrypoint,
        "ports": groups,
        "envs": [{"key": key, "value": value} for key, value in env.items()],
        "minCudaVersion": min_cuda,
    }
    return {key: value for key, value in body.items() if value not in ("", [])}


async def create_template(client: NovitaClient, body: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """Create a template and return its id. Empty if the answer names none."""
    answer = await act(client, "create_gpu_template", {"template": body}, secrets=secret_words(env))
    return id_in(answer, "templateId", "id")


async def update_template(
    client: NovitaClient, template_id: str, body: Mapping[str, Any], env: Mapping[str, str]
) -> None:
    """Replace a template. `body` must be all of it, since nobody knows whether Novita keeps what is left out."""
    whole = {"template": {**body, "Id": template_id}}
    await act(client, "update_gpu_template", whole, secrets=secret_words(env))


async def delete_template(client: NovitaClient, template_id: str) -> None:
    """Delete a private template."""
    await act(client, "delete_gpu_template", {"templateId": template_id})
