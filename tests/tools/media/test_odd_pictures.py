"""Pictures as people have them: cut downloads are refused before money, phone photos become what a model reads."""

import base64
import io
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from novita_mcp.novita.files import decoding
from novita_mcp.novita.files.decoding import BUDGET, readable_formats
from novita_mcp.simulator.core.world import DEFAULT_KEY, World
from novita_mcp.simulator.serving import Running
from PIL import Image

from ... import odd_media
from ...conftest import Connect
from ...odd_media import PRIVATE_WORD, heic, photo, png_bomb, put, saved, scene
from ..media_things import body_of, done, nothing_paid, refused

pytestmark = pytest.mark.old_models


def sent(world: World, operation: str, field: str) -> bytes:
    """The picture that Novita got last."""
    body: Any = body_of(world, operation)
    for step in field.split("."):
        body = body[step]
    return base64.b64decode(body.rpartition(",")[2])


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


WHOLE = {
    "jpeg": saved(scene(), "JPEG", quality=40),
    "progressive jpeg": saved(scene(), "JPEG", quality=40, progressive=True),
    "png": saved(scene((320, 240)), "PNG"),
    "webp": saved(scene(), "WEBP"),
    "gif": saved(scene(), "GIF"),
    "bmp": saved(scene(), "BMP"),
    "tiff": saved(scene(), "TIFF"),
}


def cuts() -> dict[str, bytes]:
    """Every kind cut in its middle and shortly before its end; and as downloads that were filled up with zeros."""
    made: dict[str, bytes] = {"the first 4000 bytes of a jpeg": odd_media.cut_jpeg()}
    for name, data in WHOLE.items():
        made[f"half a {name}"] = data[: len(data) // 2]
        made[f"a {name} without its end"] = data[:-40]
    for name in ("jpeg", "png"):
        data = WHOLE[name]
        made[f"a {name} filled up with zeros"] = data[: len(data) // 2] + bytes(len(data) // 2)
    return made


async def test_a_picture_cut_off_is_refused_before_money(connect: Connect, world: World, tmp_path: Path) -> None:
    async with connect() as client:
        for name, data in cuts().items():
            wish = {"image": put(tmp_path, f"{name}.jpg", data), "prompt": "in oil"}
            text = await refused(client.call_tool("edit_image", wish), name, "Nothing was billed")
            assert "cut off" in text or "damaged" in text
    nothing_paid(world)


async def test_a_data_uri_cut_after_400_letters_is_refused_before_money(connect: Connect, world: World) -> None:
    uri = f"data:image/jpeg;base64,{base64.b64encode(WHOLE['jpeg']).decode()}"
    async with connect() as client:
        for cut in (uri[:400], uri[:9_999], f"{uri[:6_000]}..."):
            await refused(
                client.call_tool("remove_background", {"model": "remove-background", "image": cut}),
                "Nothing was billed",
            )
    nothing_paid(world)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
async def test_a_photo_that_lies_on_its_side_is_sent_upright_without_its_tag(
    connect: Connect, world: World, tmp_path: Path, kind: str
) -> None:
    path = put(tmp_path, f"exif6.{kind.lower()}", photo((1200, 800), orientation=6, kind=kind))
    async with connect() as client:
        wish = {
            "image": path,
            "prompt": "oil",
            "edit": "restyle",
            "checkpoint": "dreamshaper_8_93211.safetensors",
        }
        await done(client.call_tool("edit_image", wish))
    request = body_of(world, "img2img")["request"]
    assert (request["width"], request["height"]) == (800, 1200)
    picture = opened(sent(world, "img2img", "request.image_base64"))
    assert picture.size == (800, 1200)
    assert 0x0112 not in picture.getexif()
    right_above: Any = picture.convert("RGB").getpixel((780, 20))
    assert min(right_above) > 200  # orientation 6: what lay in the upper left corner is at the upper right


async def test_every_way_to_hold_a_camera_is_undone(connect: Connect, world: World, tmp_path: Path) -> None:
    corners: dict[int, tuple[int, int]] = {2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 7: (1, 1), 8: (0, 1)}
    async with connect() as client:
        for orientation, (x, y) in corners.items():
            path = put(tmp_path, f"{orientation}.jpg", photo((400, 300), orientation=orientation))
            await done(client.call_tool("remove_background", {"model": "remove-background", "image": path}))
            picture = opened(sent(world, "remove_background", "image_file")).convert("RGB")
            width, height = picture.size
            assert (width, height) == ((300, 400) if orientation > 4 else (400, 300))
            found: Any = picture.getpixel((abs(x * width - 9), abs(y * height - 9)))
            assert min(found) > 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
async def test_where_when_and_by_whom_a_photo_was_taken_is_not_sent(
    connect: Connect, world: World, tmp_path: Path, kind: str
) -> None:
    if kind not in readable_formats():
        pytest.skip(f"this Pillow does not read {kind}")
    data = photo((400, 300), kind=kind)
    assert PRIVATE_WORD in data
    async with connect() as client:
        wish = {"image": put(tmp_path, "photo", data), "prompt": "oil", "model": "qwen-image-edit"}
        await done(client.call_tool("edit_image", wish))
    out = sent(world, "qwen_image_edit", "image")
    assert PRIVATE_WORD not in out
    assert not dict(opened(out).getexif())
    assert opened(out).size == (400, 300)


async def test_a_clean_picture_is_sent_byte_for_byte(connect: Connect, world: World, tmp_path: Path) -> None:
    profile = b"\0" * 16 + b"RGB " + b"\0" * 120
    clean = saved(scene((200, 100)), "JPEG", icc_profile=profile)
    async with connect() as client:
        await done(
            client.call_tool(
                "edit_image", {"image": put(tmp_path, "a.jpg", clean), "prompt": "oil", "model": "qwen-image-edit"}
            )
        )
    assert sent(world, "qwen_image_edit", "image") == clean


@pytest.mark.parametrize("turn", [0, 1])
async def test_a_photo_of_an_iphone_is_converted(connect: Connect, world: World, tmp_path: Path, turn: int) -> None:
    assert "HEIF" in readable_formats()
    path = put(tmp_path, "IMG_0001.HEIC", heic((320, 240), turn=turn))
    async with connect() as client:
        await done(client.call_tool("remove_background", {"model": "remove-background", "image": path}))
        got = opened(sent(world, "remove_background", "image_file"))
        assert (got.format, got.size) == ("JPEG", (240, 320) if turn else (320, 240))

        cut = put(tmp_path, "cut.HEIC", heic()[:-900])
        await refused(
            client.call_tool("remove_background", {"model": "remove-background", "image": cut}),
            "cut off",
            "Nothing was billed",
        )


async def test_without_the_library_an_iphone_photo_is_refused_with_a_way_that_works(
    connect: Connect, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    without = tuple(name for name in readable_formats() if name != "HEIF")
    monkeypatch.setattr(decoding, "readable_formats", lambda: without)
    monkeypatch.setattr("novita_mcp.novita.files.picture_inputs.readable_formats", lambda: without)
    path = put(tmp_path, "IMG_0001.HEIC", heic((320, 240)))
    async with connect() as client:
        for more in ({}, {"resize": True}):
            call = client.call_tool("remove_background", {"model": "remove-background", "image": path, **more})
            text = await refused(call, "HEIC", "export it as JPEG", "pi-heif", "Nothing was billed")
            assert "resize" not in text
    nothing_paid(world)


async def test_a_picture_bomb_is_refused_by_its_header(connect: Connect, world: World, tmp_path: Path) -> None:
    BUDGET.most_held = 0
    path = put(tmp_path, "bomb.png", png_bomb(12_000))
    async with connect() as client:
        wish = {"image": path, "prompt": "in oil"}
        await refused(client.call_tool("edit_image", wish), "bomb.png", "too large", "Nothing was billed")
    assert BUDGET.most_held == 0  # nothing was decoded
    nothing_paid(world)


async def test_no_error_advises_resizing_where_that_cannot_work(connect: Connect, world: World, tmp_path: Path) -> None:
    """The model takes neither GIF nor so many pixels; the one is cut off, the other more than can be decoded."""
    gif = saved(scene(), "GIF")
    async with connect() as client:
        for name, data in {"cut.gif": gif[: len(gif) // 2], "bomb.png": png_bomb(12_000)}.items():
            wish = {"image": put(tmp_path, name, data), "model": "remove-background"}
            text = await refused(client.call_tool("remove_background", wish), name, "Nothing was billed")
            assert "resize" not in text
            assert text == await refused(client.call_tool("remove_background", wish | {"resize": True}), name)
    nothing_paid(world)


def bombs() -> dict[str, bytes]:
    """A few kilobytes each, of 900 megapixels or more, in the formats that people send."""
    tall = bytearray(saved(scene((64, 64)), "JPEG"))
    at = tall.index(b"\xff\xc0") + 5
    tall[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    tif = saved(Image.new("1", (64, 64)), "TIFF", compression="group4")
    for tag in (256, 257):  # width and height, as short or long numbers
        for kind in (3, 4):
            wide = struct.pack("<HHII", tag, 4, 1, 30_000)
            tif = tif.replace(struct.pack("<HHII", tag, kind, 1, 64), wide)
    bmp = struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return {
        "bomb.tif": tif,
        "bomb.bmp": b"BM" + bmp + bytes(100),
        "bomb.jpg": bytes(tall),
        "bomb.heic": heic((64, 64)).replace(struct.pack(">II", 64, 64), struct.pack(">II", 60_000, 60_000)),
    }


async def test_a_bomb_of_any_format_is_told_to_be_one(connect: Connect, world: World, tmp_path: Path) -> None:
    """Not to be damaged: who exports it again would send the same."""
    BUDGET.most_held = 0
    async with connect() as client:
        for name, data in bombs().items():
            for wish in ({}, {"resize": True}):
                call = client.call_tool("edit_image", {"image": put(tmp_path, name, data), "prompt": "oil", **wish})
                text = await refused(call, name, "Give a smaller picture", "Nothing was billed")
                assert "damaged" not in text
    assert BUDGET.most_held == 0
    nothing_paid(world)


async def test_a_huge_jpeg_is_refused_by_the_models_limit_or_decoded_small(
    connect: Connect, world: World, tmp_path: Path
) -> None:
    """95 megapixels took 2.3 GB: now the limit is read from the header, and resizing decodes an eighth."""
    path = put(tmp_path, "huge.jpg", saved(Image.new("L", (11_000, 8_600), 128), "JPEG"))
    BUDGET.most_held = 0
    async with connect() as client:
        await refused(
            client.call_tool("remove_background", {"model": "remove-background", "image": path}),
            "94.6 megapixels",
            "resize=true",
        )
        assert BUDGET.most_held == 0
        nothing_paid(world)

        await done(
            client.call_tool(
                "edit_image", {"image": path, "edit": "remove_text", "model": "remove-text", "resize": True}
            )
        )
        got = opened(sent(world, "remove_text", "image_file"))
        assert max(got.size) == 1024
    assert 0 < BUDGET.most_held < 40 * 2**20


PEAK = """
import re, sys
from pathlib import Path
from novita_mcp.server.cli import main

code = main(sys.argv[1:])
print("peak", re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1], "code", code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="where the kernel tells the peak of one program")
def test_a_huge_jpeg_never_fills_the_memory(simulator: Running, tmp_path: Path) -> None:
    """95 megapixels, in a process of its own: what the system gave it at most."""
    path = put(tmp_path, "huge.jpg", saved(Image.new("RGB", (11_000, 8_600), (90, 120, 60)), "JPEG", quality=30))
    environment = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    environment |= {"HOME": str(tmp_path), "NOVITA_BASE_URL": simulator.url, "NOVITA_API_KEY": DEFAULT_KEY}
    wish = {"image": path, "edit": "remove_text", "model": "remove-text", "resize": True}
    call = ["call", "edit_image", "--args", json.dumps(wish)]
    call += ["--output-dir", str(tmp_path / "out"), "--allowed-dirs", str(tmp_path)]

    told = subprocess.run([sys.executable, "-c", PEAK, *call], env=environment, capture_output=True, text=True)

    found = re.search(r"peak (\d+) code 0", told.stdout)
    assert found is not None, told.stdout[-500:] + told.stderr[-500:]
    assert int(found[1]) < 400 * 1024
