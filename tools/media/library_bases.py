"""Refuses LoRAs that were made for another base model than the call's checkpoint, before anything is paid for."""

import logging
import re
from collections.abc import Mapping
from typing import Any, cast

from ...novita.core.answers import objects
from ...novita.core.errors import InputError, NovitaError
from ...novita.media.checkpoints import LibraryFile, search_library
from ..kit.context import Caller

logger = logging.getLogger(__name__)


async def refuse_strange_loras(caller: Caller, given: Mapping[str, object], options: Mapping[str, Any] | None) -> None:
    """Compare the base models that Novita's library names for a checkpoint and for each LoRA.

    Files that the library does not know are accepted.

    Raises:
        InputError: A LoRA is made for another base model.
    """
    named = _loras(options or {})
    checkpoint = given.get("checkpoint") or (options or {}).get("model_name")
    if not named or not isinstance(checkpoint, str):
        return
    ground = _base_of(await _found(caller, checkpoint))
    if not ground:
        return
    for name in named:
        base = _base_of(await _found(caller, name))
        if base and base != ground:
            raise InputError(
                f"{name} is a LoRA for {base} and {checkpoint} is a checkpoint of {ground}: they do not work together",
                next_step=f"search_checkpoints finds LoRAs for {ground}.",
            )


def _loras(options: Mapping[str, Any]) -> list[str]:
    found: object = options.get("loras") or options.get("lora") or []
    rows = objects(found)
    names = [row.get("model_name") or row.get("name") or row.get("path") for row in rows]
    plain = [one for one in cast("list[object]", found) if isinstance(one, str)] if isinstance(found, list) else []
    return [str(name) for name in (*names, *plain) if name]


async def _found(caller: Caller, name: str) -> LibraryFile | None:
    """The file with exactly this name; None if the library does not list it or cannot be reached."""
    stem = re.sub(r"\.(?:safetensors|ckpt|pt)$", "", name)
    try:
        page = await search_library(caller.novita, query=re.sub(r"_\d+$", "", stem), limit=20)
    except NovitaError as error:
        logger.warning("the base model of %s cannot be looked up: %s", name, error)
        return None
    same = {name.casefold(), stem.casefold()}
    return next((file for file in page.files if {file.name.casefold(), file.title.casefold()} & same), None)


def _base_of(file: LibraryFile | None) -> str:
    """The base model of a file without its version, because versions of one base work together; empty if unknown."""
    if file is None:
        return ""
    said = (file.base or "").casefold()
    if file.sdxl or "xl" in said:
        return "SDXL"
    if "flux" in said:
        return "FLUX"
    found = re.search(r"\b([123])(?:\.\d+)?\b", said)
    return f"Stable Diffusion {found[1]}" if found else ""
