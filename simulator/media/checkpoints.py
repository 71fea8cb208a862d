"""The model search of the Stable Diffusion routes: an invented library, and the LoRAs trained in this world."""

import base64
import hashlib
import itertools
import random
from collections.abc import Iterator

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.world import World
from .training import TrainingState

# Name, base model and file of checkpoints that clients know. The rest of the library is invented.
CHECKPOINTS = (
    ("DreamShaper 8", "SD 1.5", "dreamshaper_8_93211.safetensors"),
    ("majicMIX realistic v7", "SD 1.5", "majicmixRealistic_v7_134792.safetensors"),
    ("Realistic Vision V5.1", "SD 1.5", "realisticVisionV51_v51VAE_94301.safetensors"),
    ("MeinaMix V11", "SD 1.5", "meinamix_meinaV11_91136.safetensors"),
    ("epiCRealism natural sin", "SD 1.5", "epicrealism_naturalSin_121250.safetensors"),
    ("Stable Diffusion XL base", "SDXL 1.0", "sd_xl_base_1.0.safetensors"),
    ("Juggernaut XL v9", "SDXL 1.0", "juggernautXL_v9Rdphoto2Lightning_285361.safetensors"),
    ("ProtoVision XL", "SDXL 1.0", "protovisionXLHighFidelity3D_release0630Bakedvae_154359.safetensors"),
)
INPAINTING = (
    ("Realistic Vision inpainting", "SD 1.5", "realisticVisionV40_v40VAE-inpainting_81543.safetensors"),
    ("DreamShaper 8 inpainting", "SD 1.5", "dreamshaper_8Inpainting_131004.safetensors"),
)
VAES = ("klF8Anime2VAE_klF8Anime2VAE_207314.safetensors", "vaeFtMse840000_v10_50413.ckpt", "sdxl_vae.safetensors")
CONTROLNETS = ("control_v11p_sd15_canny", "control_v11f1p_sd15_depth", "control_v11p_sd15_openpose")
UPSCALERS = ("RealESRGAN_x4plus_anime_6B", "RealESRNet_x4plus", "4x-UltraSharp")
WORDS = (
    "amber arctic autumn city clay comic dusk ember film forest glass ink jade lunar mist neon oil paper pixel velvet"
)
STYLES = ["style", "portrait", "landscape", "sketch", "render", "watercolour", "poster", "texture", "light", "anatomy"]


def _entry(number: int, kind: str, name: str, base: str, file: str, *, inpainting: bool = False) -> Json:
    in_api = file.rsplit(".", 1)[0]
    return {
        "id": number,
        "name": name,
        "hash_sha256": hashlib.sha256(file.encode()).hexdigest()[:10].upper(),
        "sd_name": file,
        "sd_name_in_api": in_api if kind in ("lora", "textualinversion") else file,
        "type": {"name": kind, "display_name": kind.capitalize()},
        "categories": [],
        "status": 1,
        "tags": sorted({word.lower() for word in name.split()} | {kind}),
        "cover_url": f"https://next-app-static.s3.amazonaws.com/images-prod/{number}.webp",
        "source": "civitai",
        "base_model": base,
        "base_model_type": "Inpainting" if inpainting else "Standard",
        "download_url_ttl": 2592000,
        "is_sdxl": base.startswith("SDXL"),
    }


def _public() -> Iterator[Json]:
    numbers = itertools.count(1001)
    for name, base, file in CHECKPOINTS:
        yield _entry(next(numbers), "checkpoint", name, base, file)
    for name, base, file in INPAINTING:
        yield _entry(next(numbers), "checkpoint", name, base, file, inpainting=True)
    for kind, files in (("vae", VAES), ("controlnet", CONTROLNETS), ("upscaler", UPSCALERS)):
        for file in files:
            base = "SDXL 1.0" if "xl" in file else "SD 1.5"
            yield _entry(next(numbers), kind, file.rsplit(".", 1)[0], base, file)
    roll = random.Random("library")
    for kind, count in (("checkpoint", 60), ("lora", 120), ("textualinversion", 30), ("locon", 6)):
        for _ in range(count):
            number = next(numbers)
            name = f"{roll.choice(WORDS.split())} {roll.choice(WORDS.split())} {roll.choice(STYLES)}"
            base = roll.choice(["SD 1.5", "SD 1.5", "SDXL 1.0"])
            yield _entry(number, kind, name.title(), base, f"{name.replace(' ', '_')}_{number}.safetensors")


class Library:
    """Every public model of a world, in a fixed order."""

    def __init__(self, world: World) -> None:
        self.public = list(_public())


def _offset(call: Call) -> int:
    """The offset that the cursor means. It is c_<offset> or, as in answers, c_<base64 of offset=n>."""
    cursor = call.params.get("pagination.cursor", "c_0")
    text = cursor.removeprefix("c_")
    try:
        return int(text) if text.isdigit() else int(base64.urlsafe_b64decode(text).decode().removeprefix("offset="))
    except ValueError:
        raise call.invalid(f"pagination.cursor: {cursor!r} is no cursor") from None


def cursor_after(offset: int) -> str:
    return "c_" + base64.urlsafe_b64encode(f"offset={offset}".encode()).decode()


def _private(call: Call) -> list[Json]:
    """The LoRAs that this account trained and that are now served."""
    found: list[Json] = []
    for training in call.world.area(TrainingState).of(call.account):
        for model in training.models():
            entry = _entry(900_000 + training.number, "lora", training.name, "SDXL 1.0", model["model_name"])
            found.append(entry | {"source": "training", "is_sdxl": training.is_sdxl})
    return found


async def query_models(call: Call) -> Response:
    p = call.params
    kind, limit = p.get("filter.types"), p.get("pagination.limit", 20)
    visibility, words = p.get("filter.visibility"), p.get("filter.query", "").lower()
    models = [*(_private(call) if visibility != "public" else [])]
    if visibility != "private":
        models += call.world.area(Library).public
    found = [
        model
        for model in models
        if kind in (None, model["type"]["name"])
        and p.get("filter.source", model["source"]) == model["source"]
        and p.get("filter.is_sdxl", model["is_sdxl"]) == model["is_sdxl"]
        and (not p.get("filter.is_inpainting") or model["base_model_type"] == "Inpainting")
        and (not words or any(words in text.lower() for text in (model["sd_name"], model["name"], *model["tags"])))
    ]
    start = _offset(call)
    page = found[start : start + limit]
    more = start + limit < len(found)
    return answer({"models": page, "pagination": {"next_cursor": cursor_after(start + limit) if more else ""}})


HANDLERS: dict[str, Handler] = {"query_models": query_models}
