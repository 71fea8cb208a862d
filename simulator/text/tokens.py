"""Tokens of the simulated language models: how a text is split without loss, and what tokens cost.

A token is up to six letters with the space before them, one sign, or one CJK character. Real tokenizers differ by
model. For English prose the count is near theirs.
"""

import base64
import io
import re
from collections.abc import Sequence
from typing import Any

from PIL import Image

from ..core.faults import Fault
from ..core.json_values import items, obj

_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"\s?(?:[{_CJK}]|[^\W{_CJK}]{{1,6}}|[^\w\s])|\s")
_PER_MESSAGE = 4  # The role and the separators that a chat template adds.
_PIXELS_PER_TOKEN = 28 * 28
_UNSEEN_IMAGE = 512 * 512
_CLIP_TOKENS = 1_000


def split(text: str) -> list[str]:
    """The tokens of a text. Joined they are the text again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """The number of tokens in a text."""
    return len(_TOKEN.findall(text))


def count_messages(messages: Sequence[dict[str, Any]]) -> int:
    """The number of prompt tokens in a conversation, including media and earlier tool calls."""
    return sum(_PER_MESSAGE + count_message(message) for message in messages)


def count_message(message: dict[str, Any]) -> int:
    """The number of tokens in one message without its separators."""
    content = message.get("content")
    total = count(content) if isinstance(content, str) else sum(_count_part(part) for part in items(content))
    for call in items(message.get("tool_calls")):
        function = obj(obj(call).get("function"))
        total += count(str(function.get("name", ""))) + count(str(function.get("arguments", "")))
    return total


def _count_part(part: dict[str, Any]) -> int:
    match part.get("type"):
        case "text":
            return count(part["text"])
        case "image_url":
            picture = open_data_image(part["image_url"]["url"])
            pixels = _UNSEEN_IMAGE if picture is None else picture.width * picture.height
            return max(4, -(-pixels // _PIXELS_PER_TOKEN))
        case _:
            return _CLIP_TOKENS


def open_data_image(url: str) -> Image.Image | None:
    """The picture in a data URI, or None for a link, as links are not fetched.

    Raises Fault 400 if a data URI has no picture in it.
    """
    if not url.startswith("data:"):
        if not url.startswith(("http://", "https://")):
            raise Fault(400, "INVALID_REQUEST_BODY", "image_url.url must be an http(s) URL or a data URI")
        return None
    _, _, payload = url.partition(";base64,")
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(payload, validate=True)))
        picture.load()
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises all of these.
        raise Fault(400, "INVALID_REQUEST_BODY", "image_url.url: the image cannot be decoded") from error
    return picture


def cost(*priced: tuple[int, int]) -> int:
    """The cost in micro dollars, rounded up, of pairs (tokens, price per million tokens in 0.0001 USD)."""
    return -(-sum(tokens * price for tokens, price in priced) // 10_000)
