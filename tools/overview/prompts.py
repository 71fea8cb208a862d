"""Workflows worth having as prompts: what to ask for, with which tools, in which order."""

from collections.abc import Mapping

from ...novita.core.words import counted
from ..gpu.prompts import GPU_PROMPTS
from ..kit.prompts import PromptSpec, one_of
from ..media.resources import picture_references
from ..sandbox.prompts import SANDBOX_PROMPTS


def _storyboard(given: Mapping[str, str]) -> str:
    shots = given.get("shots") or "3"
    how_long = counted(int(shots), "shot") if shots.isdigit() else f"{shots} shots"
    return (
        f"Make a short film from this idea: {given['idea']}\n\n"
        f"1. Write a storyboard of {how_long}, one sentence each, with one look for all of them.\n"
        "2. For each shot call generate_image with aspect_ratio 16:9 and the same style words; show me the pictures.\n"
        "3. Tell me what the clips will cost (estimate_cost) and wait for my yes.\n"
        "4. For each picture call generate_video with image=task:<id>/0 and a prompt for its movement; use get_task "
        "while they are working.\n"
        "5. List the files in order, and what it cost."
    )


def _product_photos(given: Mapping[str, str]) -> str:
    return (
        f"Make a set of product photos from {given['image']}.\n\n"
        "1. remove_background for a clean cut-out.\n"
        f"2. replace_background for each of these scenes: {given.get('scenes') or 'studio, kitchen, outdoors'}.\n"
        "3. upscale_image for the ones I pick.\n"
        "Show the pictures after each step and say what it cost so far."
    )


def _batch_labelling(given: Mapping[str, str]) -> str:
    return (
        f"Label the rows of {given['file']}: {given['task']}\n\n"
        "1. Read a few rows and write one instruction that makes the model answer with the label only.\n"
        "2. Try it on three rows with chat and show me the answers.\n"
        "3. create_batch for all rows with dry_run=true; tell me the cost and wait for my yes.\n"
        "4. create_batch, then get_batch until it is done. Show counts, the first rows and the file, and set the "
        "failed rows apart."
    )


def _cost_review(given: Mapping[str, str]) -> str:
    return (
        f"Review what I spent on Novita in {given.get('period') or 'this month'}.\n\n"
        "1. get_balance and get_bill, grouped by product.\n"
        "2. What costs money right now: list_gpu_instances, list_endpoints, list_tasks.\n"
        "3. Name the three largest costs, what drives them, and what could be stopped or made cheaper. "
        "Stop nothing without my yes."
    )


PROMPTS: tuple[PromptSpec, ...] = (
    PromptSpec(
        "storyboard_to_clip",
        "Storyboard to clip",
        "An idea becomes pictures, then short clips.",
        {"idea": "What the film is about.", "shots": "How many shots; default 3."},
        _storyboard,
        frozenset({"shots"}),
        {"shots": one_of("3", "4", "5", "6")},
    ),
    PromptSpec(
        "product_photo_set",
        "Product photo set",
        "One photo of a product becomes a set in several scenes.",
        {"image": "URL, path or task:<id>/<n> of the photo.", "scenes": "Scenes, with commas."},
        _product_photos,
        frozenset({"scenes"}),
        {"image": picture_references, "scenes": one_of("studio, kitchen, outdoors")},
    ),
    PromptSpec(
        "batch_labelling",
        "Batch labelling",
        "Label the rows of a file cheaply, as a batch.",
        {"file": "Path of a .csv or .jsonl file.", "task": "What to decide for each row."},
        _batch_labelling,
    ),
    *GPU_PROMPTS,
    *SANDBOX_PROMPTS,
    PromptSpec(
        "monthly_cost_review",
        "Monthly cost review",
        "What was spent, on what, and what could be saved.",
        {"period": "Such as this month, or 2026-10."},
        _cost_review,
        frozenset({"period"}),
        {"period": one_of("this month", "last month", "last 7 days", "last 30 days", "this year")},
    ),
)
