"""MCP prompts for whole workflows: they say which tools to call, in which order, and what to ask the user."""

from collections.abc import Mapping

from ...novita.core.words import counted
from ..gpu.prompts import GPU_PROMPTS
from ..kit.prompts import RULES, PromptSpec, one_of
from ..media.resources import picture_references
from ..sandbox.prompts import SANDBOX_PROMPTS


def _storyboard(given: Mapping[str, str]) -> str:
    shots = given.get("shots") or "3"
    how_long = counted(int(shots), "shot") if shots.isdigit() else f"{shots} shots"
    return (
        f"Make a short film from this idea: {given['idea']}\n\n"
        f"1. Write a storyboard of {how_long}, one sentence each, with one look for all of them.\n"
        "2. For each shot call generate_image with aspect_ratio 16:9 and the same style words; show me the pictures.\n"
        "3. Tell me what all the clips will cost (estimate_cost with count) and wait for my yes.\n"
        "4. For each picture call generate_video once, with image=task:<id>/0 and a prompt for its movement. Clips "
        "take "
        "minutes: wait for all of them together with get_task and task_ids.\n"
        "5. combine_media with do=join makes one film of the clips, in order, for free.\n"
        "6. Show me the film and its clips, with where they are saved, and say what it cost."
        f"{RULES}"
    )


def _product_photos(given: Mapping[str, str]) -> str:
    return (
        f"Make a set of product photos from {given['image']}.\n\n"
        "1. Tell me what it will cost: dry_run=true on each step shows the price and sends nothing. Wait for my yes.\n"
        "2. remove_background for a clean cut-out.\n"
        f"3. replace_background for each of these scenes: {given.get('scenes') or 'studio, kitchen, outdoors'}.\n"
        "4. upscale_image only for the ones I pick.\n"
        "Show me the pictures after each step, tell me where an answer's remark says that something was redrawn, and "
        "say "
        "what it cost so far."
        f"{RULES}"
    )


def _batch_labelling(given: Mapping[str, str]) -> str:
    return (
        f"Label the rows of {given['file']}: {given['task']}\n\n"
        "1. Read a few rows and write one instruction that makes the model answer with the label only.\n"
        "2. Try it on three rows with chat and show me the answers.\n"
        "3. create_batch for all rows with dry_run=true; tell me the cost and wait for my yes.\n"
        "4. create_batch once, then get_batch with its batch_id until it is done, which may take hours: tell me the "
        "id, so "
        "that we can go on in another conversation.\n"
        "5. Show me counts, the first rows and the file, and the failed rows apart. Run those again only if I say so."
        f"{RULES}"
    )


def _cost_review(given: Mapping[str, str]) -> str:
    return (
        f"Review what I spent on Novita in {given.get('period') or 'this month'}.\n\n"
        "1. get_balance says what is left, get_bill with this period and by=product what was spent on what.\n"
        "2. What goes on costing right now: list_tasks names all that was started here; list_gpu_instances and "
        "list_endpoints show the rest of the account. Say what each costs an hour and a month.\n"
        "3. Name the three largest costs, what drives them, and what could be stopped or made cheaper. What Novita "
        "has not "
        "billed yet is an estimate: say so.\n"
        "Only look: stop or delete nothing without my yes to that very thing."
    )


PROMPTS: tuple[PromptSpec, ...] = (
    PromptSpec(
        "storyboard_to_clip",
        "Storyboard to clip",
        "An idea for a short film or advert becomes pictures, then clips, then one film; asks before it spends.",
        {"idea": "What the film is about.", "shots": "How many shots (clips) it has; default 3."},
        _storyboard,
        frozenset({"shots"}),
        {"shots": one_of("3", "4", "5", "6")},
    ),
    PromptSpec(
        "product_photo_set",
        "Product photo set",
        "One photo of a product becomes a set of pictures: cut out, and in several scenes; asks before it spends.",
        {
            "image": "The photo: file path, URL, or task:<id>/<n> of an earlier result.",
            "scenes": "Scenes to put it in, with commas between them.",
        },
        _product_photos,
        frozenset({"scenes"}),
        {"image": picture_references, "scenes": one_of("studio, kitchen, outdoors")},
    ),
    PromptSpec(
        "batch_labelling",
        "Batch labelling",
        "Label or classify all rows of a CSV or JSONL file cheaply, as a batch; asks before it spends.",
        {
            "file": "Path of the .csv or .jsonl file.",
            "task": "What to decide for each row, such as positive or negative.",
        },
        _batch_labelling,
    ),
    *GPU_PROMPTS,
    *SANDBOX_PROMPTS,
    PromptSpec(
        "monthly_cost_review",
        "Monthly cost review",
        "What was spent this month, on what, what runs and costs now, and what could be saved; only looks.",
        {"period": "Which time, such as this month, or 2026-10."},
        _cost_review,
        frozenset({"period"}),
        {"period": one_of("this month", "last month", "last 7 days", "last 30 days", "this year")},
    ),
)
