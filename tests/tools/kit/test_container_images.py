"""Names of container images: what no registry can have is refused before a machine is paid for that never boots."""

from typing import Any

import pytest
from novita_mcp.novita.core.errors import InputError
from novita_mcp.simulator.core.world import World
from novita_mcp.tools import TOOLSETS
from novita_mcp.tools.kit.container_images import read_image

from ...conftest import Connect, fields_of, text_of

Json = dict[str, Any]

LEAST: dict[str, Json] = {
    "create_gpu_instance": {},
    "create_gpu_template": {"name": "fox", "ports": ["80/http"]},
    "update_gpu_template": {"template_id": "x"},
    "upgrade_gpu_instance": {"instance_id": "x"},
    "prewarm_gpu_image": {"region": "x"},
    "save_gpu_image": {"instance_id": "x"},
    "create_endpoint": {"port": 80},
}


@pytest.mark.parametrize(
    ("pasted", "name"),
    [
        ("ubuntu:24.04", "ubuntu:24.04"),
        (' "ghcr.io/me/box:v1.2_x" ', "ghcr.io/me/box:v1.2_x"),
        ("`registry:5000/a__b/c--d`", "registry:5000/a__b/c--d"),
        ("docker pull nvcr.io/nvidia/pytorch:24.01-py3", "nvcr.io/nvidia/pytorch:24.01-py3"),
        ("docker://Reg.example.com/a", "Reg.example.com/a"),
        ("https://hub.docker.com/r/me/box", "me/box"),
        ("https://hub.docker.com/_/ubuntu", "ubuntu"),
        (f"a/b@sha256:{'0' * 64}", f"a/b@sha256:{'0' * 64}"),
        ("", ""),
    ],
)
def test_an_image_is_read_as_it_is_pasted(pasted: str, name: str) -> None:
    assert read_image(pasted) == name


@pytest.mark.parametrize(
    "text", ["ubuntu 24.04", "Ubuntu", "ghcr.io/Me/box", "docker run -it ubuntu", "../box", "a//b", "box:", "a\nb", "ü"]
)
def test_what_no_image_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"no name of a container image.*in small letters"):
        read_image(text)


def test_every_tool_that_takes_an_image_of_a_container_is_tried() -> None:
    taking = {
        spec.name
        for toolset in TOOLSETS
        for spec in toolset.tools
        if toolset.name in ("gpu", "gpu_admin", "serverless") and "image" in spec.build().taken["properties"]
    }
    assert taking == LEAST.keys()


@pytest.mark.parametrize("tool", LEAST)
async def test_no_tool_sends_an_image_that_cannot_be(tool: str, connect: Connect, world: World) -> None:
    async with connect(toolsets="all") as client:
        answer = await client.call_tool(tool, {**LEAST[tool], "image": "my box"})

    assert answer.is_error
    assert "'my box' is no name of a container image. Nothing was billed." in text_of(answer)
    assert not world.requests


async def test_the_name_is_sent_without_what_was_pasted_around_it(connect: Connect) -> None:
    async with connect() as client:
        shown = await client.call_tool("create_gpu_instance", {"image": "docker pull a/b:1", "dry_run": True})

    assert fields_of(shown)["request"]["body"]["imageUrl"] == "a/b:1", text_of(shown)
