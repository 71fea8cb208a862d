"""What one tool made is what the next one works on, by its task id alone."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from mcp import Client
from novita_mcp.simulator.core.world import World

from ...conftest import Connect
from ..media_things import body_of, done, film_of, image_of, one

pytestmark = pytest.mark.old_models

LINE = "The fox says hello."


async def test_a_picture_is_animated_and_what_the_clip_says_is_written_down(connect: Connect, world: World) -> None:
    async with connect() as client:
        drawn = await done(
            client.call_tool(
                "generate_image", {"model": "qwen-image-txt2img", "prompt": "a red fox", "size": "1024x768"}
            )
        )
        assert image_of(drawn).size == (1024, 768)

        wish = {"image": f"task:{drawn['task_id']}/0", "prompt": f'it says "{LINE}"', "sound": True, "duration": 3}
        filmed = await done(client.call_tool("generate_video", wish | {"confirm": True}))
        assert filmed["model"] == "kling-v3.0-std-i2v"
        assert film_of(filmed).sound
        assert body_of(world, "kling_v3_0_std_i2v")["image"].startswith("http")

        heard = await done(
            client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": f"task:{filmed['task_id']}/0"})
        )
        assert LINE in heard["text"]
        assert body_of(world, "glm_asr")["file"].startswith("data:audio/wav;base64,")


async def test_results_of_results_go_on(connect: Connect, world: World) -> None:
    async with connect() as client:
        drawn = await done(
            client.call_tool(
                "generate_image", {"model": "qwen-image-txt2img", "prompt": "a red fox", "size": "512x512"}
            )
        )
        cut = await done(
            client.call_tool("remove_background", {"model": "remove-background", "image": f"task:{drawn['task_id']}/0"})
        )
        large = await done(
            client.call_tool("upscale_image", {"model": "upscale", "image": f"task:{cut['task_id']}/0", "scale": 2})
        )

        assert image_of(large).size == (1024, 1024)
        assert len({one(answer)["path"] for answer in (drawn, cut, large)}) == 3
        assert world.leaked_keys == 0


async def test_the_chain_holds_over_http_where_nothing_is_on_disk(
    connect_http: Callable[..., AbstractAsyncContextManager[Client]], world: World
) -> None:
    async with connect_http() as client:
        drawn = await done(client.call_tool("generate_image", {"model": "qwen-image-txt2img", "prompt": "a red fox"}))
        wish = {"image": f"task:{drawn['task_id']}/0", "prompt": f'it says "{LINE}"', "sound": True, "duration": 3}
        filmed = await done(client.call_tool("generate_video", wish | {"confirm": True}))
        heard = await done(
            client.call_tool("transcribe_audio", {"model": "glm-asr", "audio": f"task:{filmed['task_id']}/0"})
        )

        assert LINE in heard["text"]
        assert world.leaked_keys == 0
