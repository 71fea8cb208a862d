"""What every client is asked to do, whatever its words for it. Runs in the client's own environment, without our code.

A driver gives three functions to `play`; one line of JSON on stdout says what was seen.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

ASKED = json.loads(sys.argv[1])
"""Where the server is: {"command", "args", "env"}, or {"url", "headers"}."""
PICTURE = re.compile(r"/9j/|iVBORw0KGgo|UklGR")
"""How a JPEG, PNG or WebP begins in base64."""
OPTIONAL = ("model", "count", "size", "aspect_ratio", "seed", "format", "options", "save_to", "wait_seconds", "confirm")


def shown(value: Any) -> str:
    """All of an answer as text, whatever it is made of."""
    if isinstance(value, bytes):
        return "/9j/" if value[:2] == b"\xff\xd8" or value[:4] in (b"\x89PNG", b"RIFF") else "bytes"
    if isinstance(value, dict):
        return "\n".join(f"{name}: {shown(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(shown(inner) for inner in value)
    if hasattr(value, "model_dump"):
        return shown(value.model_dump())
    if hasattr(value, "__dict__"):
        return f"{value}\n{shown(vars(value))}"
    return str(value)


async def said_by(call: Callable[[str, dict[str, Any]], Awaitable[Any]], name: str, arguments: dict[str, Any]) -> str:
    """What came of a call. An exception counts: it is how some clients show a tool's error."""
    try:
        return shown(await call(name, arguments))
    except Exception as error:  # every client has classes of its own for it
        return f"{type(error).__name__}: {error}"


def portable(tools: list[Any]) -> int:
    """How many tools have schemas that a validator takes: an SDK converts none, and needs that of them."""
    from jsonschema import Draft202012Validator

    for tool in tools:
        told = tool.model_dump(by_alias=True)
        for schema in (told["inputSchema"], told["outputSchema"]):
            Draft202012Validator.check_schema(schema)
    return len(tools)


async def play(names: list[str], converted: int, call: Callable[[str, dict[str, Any]], Awaitable[Any]]) -> None:
    """Ask for a picture, a slow video and something wrong; print what was seen.

    Args:
        names: Of the tools that the client listed.
        converted: How many of them became what the client hands to a language model.
        call: Calls a tool the client's way.
    """
    picture = await said_by(call, "generate_image", {"prompt": "a red fox in the snow"})
    video = await said_by(call, "generate_video", {"prompt": "a fox runs", "wait_seconds": 0, "confirm": True})
    task = re.search(r"task_id['\"]?: ['\"]?([\w.-]+)", video)
    later = await said_by(call, "get_task", {"task_id": task[1] if task else "none", "wait_seconds": 60})
    wrong = await said_by(call, "generate_image", {"prompt": "a fox", "model": "no-such-model"})
    nothing = dict.fromkeys(OPTIONAL)
    nulls = await said_by(call, "generate_image", {"prompt": "a fox", **nothing, "dry_run": True})
    seen = {
        "tools": names,
        "converted": converted,
        "picture": PICTURE.search(picture) is not None,
        "started": video,
        "finished": later,
        "error": wrong,
        "nulls": nulls,
    }
    for key, value in seen.items():
        if isinstance(value, str):
            seen[key] = value[:1500]
    print("\n" + json.dumps(seen), flush=True)


def run(main: Callable[[], Awaitable[None]]) -> None:
    """The driver's entry."""

    async def bounded() -> None:
        async with asyncio.timeout(300):
            await main()

    asyncio.run(bounded())
