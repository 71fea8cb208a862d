"""What the tests of pictures share."""

from PIL import Image, ImageChops, ImageStat

from ..sim_api import Json

SD: Json = {
    "model_name": "dreamshaper_8_93211.safetensors",
    "prompt": "a red fox in the snow",
    "width": 256,
    "height": 320,
    "image_num": 2,
    "steps": 20,
    "guidance_scale": 7.5,
    "sampler_name": "Euler a",
    "seed": 7,
}


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, 0 to 255."""
    assert one.size == other.size
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3
