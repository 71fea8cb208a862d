# pyright: basic, reportMissingImports=false, reportPrivateUsage=false
"""Novita's own Python SDK, unchanged but for the address. Run by test_novita_clients.py where the SDK is installed.

Argument: {"url", "key", "image"}, `image` a path. Prints one JSON object, {name: result}.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from novita_client import NovitaClient, Txt2VideoPrompt

asked = json.loads(sys.argv[1])
client = NovitaClient(asked["key"], base_url=asked["url"])
image, model = asked["image"], "dreamshaper_8_93211.safetensors"
wish: dict[str, Any] = {"model_name": model, "prompt": "a red fox", "width": 256, "height": 256, "steps": 10}
wish |= {"image_num": 1, "guidance_scale": 7.5, "sampler_name": "Euler a"}
packed = base64.b64encode(Path(image).read_bytes()).decode()
film = [Txt2VideoPrompt(prompt="a fox", frames=16)]
# The SDK has types for it and no method any more.
upscale = {"model_name": "RealESRGAN_x4plus_anime_6B", "image_base64": packed, "scale_factor": 2}

results = {
    "search": {"models": [found.to_dict() for found in client.models_v3()][:5]},
    "text_to_image": client.txt2img_v3(**wish, seed=-1).to_dict(),
    "image_to_image": client.img2img_v3(**wish, input_image=image, strength=0.5).to_dict(),
    "upscale": client.wait_for_task_v3(client._post("/v3/async/upscale", {"request": upscale})["task_id"]).to_dict(),
    "remove_background": client.remove_background(image).to_dict(),
    "text_to_video": client.txt2video(
        model_name=model, prompts=film, width=256, height=256, steps=10, guidance_scale=7
    ).to_dict(),
}
print(json.dumps(results, default=str))
