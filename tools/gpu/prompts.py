"""The GPU prompt: it leads from a sentence to a machine that does the job and then stops.

`overview/prompts.py` joins its table with the others.
"""

from collections.abc import Mapping

from ..kit.created_things import LEASE_NEEDS
from ..kit.prompts import PromptSpec, one_of


def _gpu_job(given: Mapping[str, str]) -> str:
    hours = given.get("hours") or "the hours it should take, and half as many again"
    budget = f" Spend at most ${given['budget_usd']} in all." if given.get("budget_usd") else ""
    return (
        f"Run this on a rented GPU: {given['job']}\n\n"
        "1. Work out what it needs: memory of the GPU, container image or template (list_gpu_templates), command, "
        f"ports, disk. Ask me only for what you cannot know.{budget}\n"
        "2. list_gpu_products with min_memory_gb for the cheapest that fits; tell me the price per hour.\n"
        f"3. create_gpu_instance with that product_id, a name, and stop_after_hours for {hours}, so that it cannot "
        f"run on unseen. {LEASE_NEEDS} Tell me so. It asks before it spends: show me the price and wait for my yes.\n"
        "4. Call it once. Its first minutes go by with pulling the image: wait with get_gpu_instance and wait_seconds, "
        "never by creating another. Then access=true shows how to reach it.\n"
        "5. Tell me how to follow the job, when the lease ends, and what it costs until then.\n"
        "6. When it is done: stop_gpu_instance, as it costs until then, at work or not. delete_gpu_instance only "
        "if I say that nothing on it is needed."
    )


GPU_PROMPTS = (
    PromptSpec(
        "gpu_job",
        "Launch a GPU job",
        "A sentence becomes a rented GPU machine that does the job and stops by itself; asks before it spends.",
        {
            "job": "What is to run, in a sentence.",
            "hours": "How many hours it may run.",
            "budget_usd": "Most it may cost in all, in USD.",
        },
        _gpu_job,
        frozenset({"hours", "budget_usd"}),
        {"hours": one_of("1", "2", "4", "8", "24"), "budget_usd": one_of("1", "5", "10", "50")},
    ),
)
