"""Our ledger against Novita's books, over a random run of all tools that spend, with faults.

What is compared: the simulator's `world.charges` less what it gave back, and the journal's rows through the ledger.
The setting for unknown prices is the simulator's price of what no page has a price for, so that such calls agree too.
Rows that are sure must equal their charges. Rows that are doubtful (no answer came, or the task failed) count in full,
because nobody knows; the simulator knows, so here each is held to be charged either in full or not at all, and the
sum of those that were not is exactly how far the ledger is above the books. What costs by time is compared thing by
thing: as far as it was metered before the bill, and with all rows about it once the bill was read. Models whose price
is a third party's are left out: the simulator, written from Novita's pages alone, does not know it.
"""

import json
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from novita_mcp.novita.core.errors import NovitaError
from novita_mcp.novita.core.periods import Period
from novita_mcp.novita.journal.databases import Db
from novita_mcp.novita.journal.journal import Journal
from novita_mcp.novita.journal.ledger import read_ledger, total
from novita_mcp.novita.media.lookup import MediaModel, media_models
from novita_mcp.novita.media.mapping import plan
from novita_mcp.server.app import create_app
from novita_mcp.server.settings import Settings
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core.world import Charge, World
from novita_mcp.simulator.sandbox.state import OPERATION, SimulatedSandboxes
from novita_mcp.simulator.serving import Running
from novita_mcp.tools import TOOLSETS

from ...conftest import text_of
from ..gpu_stage import StageClock, built_on
from ..one_call_per_tool import BY_TIME, CALLS, Things, spending_tools
from ..random_rentals import Renting, is_by_time

Json = dict[str, Any]

CALLS_OF_A_RUN = 500
UNKNOWN = Decimal("0.07")
CENT = Decimal("0.01")
ROUNDING = 50
"""Micro dollars: the simulator rounds up for each row of a batch or part of an answer, we for each call."""


METERED = 20_000
"""Micro dollars a thing's rows may be off before the bill: seconds between an end and the look that sees it."""
BILLED = 1_000
"""And after it: the bill's lines are whole 0.0001 USD, for each day and product."""
DAY = 86_400

BY_TOKENS = frozenset(
    {
        "chat",
        "complete_text",
        "create_embeddings",
        "rerank",
        "create_batch",
        "generate_lyrics",
        "describe_image",
        "transcribe_audio",
    }
)
"""Their estimate is the most they may cost; an answer that was lost cost what it cost."""
ENDPOINTS = frozenset({"create_endpoint", "update_endpoint"})
SANDBOXES = frozenset({"create_sandbox", "run_code"})


def agreeing(does: str, arguments: Json) -> list[MediaModel]:
    """Models of a kind that need no more than these arguments."""
    found: list[MediaModel] = []
    for model in media_models():
        if not model.live or does not in model.does:
            continue
        try:
            plan(model, arguments)
        except NovitaError:  # it needs more than these arguments
            continue
        found.append(model)
    return found


IMAGES = agreeing("text_to_image", {"prompt": "a fox"})
VIDEOS = agreeing("text_to_video", {"prompt": "a fox"})
VOICES = agreeing("text_to_speech", {"text": "a fox"})


def a_call(roll: random.Random, things: Things, renting: Renting, among: Collection[str] = ()) -> tuple[str, Json]:
    """A tool and good arguments for it; where some are named, of these if it can be."""
    (tool,) = [roll.choice(sorted(among))] if among else roll.choices(list(WEIGHTS), list(WEIGHTS.values()))
    if tool in BY_TIME:
        about = renting.arguments(tool)
        return (tool, about) if about else a_call(roll, things, renting)
    arguments: Json = CALLS[tool](things)
    words = " ".join(roll.choices(["red", "fox", "snow", "night", "runs", "sleeps", "river"], k=roll.randint(2, 30)))
    if tool == "generate_image":
        model = roll.choice(IMAGES)
        arguments = {"prompt": words, "model": model.id}
        if "count" in model.arguments:
            arguments["count"] = roll.randint(1, 4)
    elif tool == "generate_video":
        model = roll.choice(VIDEOS)
        arguments = {"prompt": words, "model": model.id}
        if any(row.seconds for row in model.price):  # nobody tells how long its clips are where a request does not
            arguments["duration"] = roll.randint(4, 10)
    elif tool == "generate_speech":
        arguments = {"text": words, "model": roll.choice(VOICES).id}
    elif tool in ("edit_image", "edit_video"):  # of these both sides know beforehand how much it will be
        arguments["model"] = {"edit_image": "flux-1-kontext-dev", "edit_video": "wan2.6-v2v"}[tool]
        if tool == "edit_image":
            arguments["count"] = roll.randint(1, 3)
    elif tool == "read_web_pages":
        arguments["urls"] = [f"https://example.com/{n}" for n in range(roll.randint(1, 4))]
    elif tool in ("chat", "complete_text"):
        arguments = {"prompt": words, "max_tokens": roll.randint(1, 400)}
    elif tool == "create_batch":
        arguments["rows"] = [{"prompt": f"{words} {n}"} for n in range(roll.randint(1, 5))]
    arguments["again"] = True  # what is asked for a second time by chance is meant
    arguments["confirm"] = True  # videos of unknown price are asked about, whatever they count as
    if "wait_seconds" in TAKES[tool] and roll.random() < 0.7:
        arguments["wait_seconds"] = 0  # most films need not be fetched here
    return tool, arguments


SLOW = {
    "generate_music": 0.2,
    "clone_voice": 0.5,
    "transcribe_audio": 0.5,
    "generate_video": 0.7,
    "edit_video": 0.4,
    "run_code": 0.3,
}
WEIGHTS = {name: SLOW.get(name, 1.5 if name in BY_TIME else 1.0) for name in sorted({*CALLS, *BY_TIME})}
"""How often each tool is called: less often where the simulator takes long."""

TAKES: dict[str, Any] = {}
"""Tool -> its arguments."""


def a_fault(roll: random.Random, world: World) -> str:
    """Disturb the next call, or not."""
    name = roll.choice(FAULTS)
    match name:
        case "a task that fails":
            world.fail_next_task()
        case "an answer lost after it took effect":
            world.trouble({"reset": "after"}, method="POST", path=roll.choice(PATHS))
        case "a request lost before":
            world.trouble({"reset": "before"}, method="POST", path=roll.choice(PATHS))
        case "half an answer":
            world.trouble({"garbage": True, "handled": True}, method="POST", path=roll.choice(PATHS))
        case "a 502 that took effect":  # of a 500 Novita says that language models are not charged for
            world.trouble({"status": 502, "handled": True}, method="POST", path=roll.choice(PATHS))
        case "a 503":
            world.trouble({"status": 503}, method="POST", path=roll.choice(PATHS))
        case "a 429":
            world.trouble({"status": 429, "headers": {"Retry-After": "1"}}, method="POST", path=roll.choice(PATHS))
        case "no credit":
            world.trouble({"error": "BILLING_BALANCE_NOT_ENOUGH"}, method="POST", path=roll.choice(PATHS))
        case "a fault while looking":
            world.trouble({"status": 502}, operation="get_task_result")
        case _:
            pass
    return name


PATHS = ("/v3/*", "/openai/*", "/gpu*", "/*")
FAULTS = (
    *["none"] * 7,
    "a task that fails",
    "an answer lost after it took effect",
    "a request lost before",
    "half an answer",
    "a 502 that took effect",
    "a 503",
    "a 429",
    "no credit",
    "a fault while looking",
)


@dataclass
class Row:
    """What the journal says of one job. `about`: the machine, volume or endpoint it is for."""

    tool: str
    state: str
    counted: int
    task_id: str | None
    estimate: int | None
    rate: int | None
    facts: Json

    @property
    def known(self) -> bool:
        return "usd" in self.facts

    @property
    def unpriced(self) -> bool:
        return self.estimate is None

    @property
    def margin(self) -> int:
        """What it counts beyond its estimate, because the price is not Novita's word: half as much again."""
        half = (self.estimate or 0) * 3 // 2
        return self.counted - self.estimate if self.estimate and abs(self.counted - half) <= 1 else 0

    @property
    def about(self) -> str | None:
        return self.facts.get("resource") or self.facts.get("of")

    @property
    def free(self) -> bool:
        return self.state == "refused" or (self.state == "cancelled" and self.counted == 0)

    @property
    def doubtful(self) -> bool:
        return self.state in ("submitting", "unconfirmed", "failed", "cancelled") and not self.known and not self.free


def folded(counts: str, counted: int, segments: Iterable[Any]) -> int:
    """What a row counts whose segments have ended: by our own sum, not by the journal's."""
    come = sum(
        each["at_once_micro"] + int((each["until"] - each["since"]) * each["micro_day"] / DAY)
        for each in segments
        if each["until"] is not None
    )
    return counted if counts == "counted" else max(counted, come) if counts == "least" else come


def rate_of(segments: Iterable[Any]) -> int | None:
    """What a row goes on costing."""
    return sum(each["micro_day"] for each in segments if each["until"] is None) or None


async def rows_of(journal: Journal) -> dict[str, Row]:
    """Every job by its key, read apart from the ledger under test."""

    def read(db: Db) -> dict[str, Row]:
        times: dict[str, list[Any]] = {}
        for segment in db.execute("SELECT * FROM segments"):
            times.setdefault(segment["job"], []).append(segment)
        found = db.execute(
            "SELECT key, tool, state, counts, counted_micro, task_id, estimate_micro, facts FROM jobs"
        ).fetchall()
        return {
            key: Row(
                tool,
                state,
                folded(counts, counted, times.get(key, ())),
                task_id,
                estimate,
                rate_of(times.get(key, ())),
                json.loads(facts),
            )
            for key, tool, state, counts, counted, task_id, estimate, facts in found
        }

    return await journal.transact(read)


def paid(charges: Iterable[Charge]) -> int:
    """Micro dollars, less what was given back."""
    return sum(charge.micro_usd for charge in charges if not charge.refunded)


@dataclass
class Run:
    """500 calls, and what is to be held against each other afterwards.

    Args:
        bought: What a row's call was charged at once, by its key.
        batches: The batch a row began, by its key; what ran in it is charged when it is done.
    """

    roll: random.Random
    world: World
    client: Client
    journal: Journal
    things: Things
    renting: Renting
    bought: dict[str, list[Charge]] = field(default_factory=dict[str, list[Charge]])
    batches: dict[str, str] = field(default_factory=dict[str, str])
    tools: Counter[str] = field(default_factory=Counter[str])
    happened: Counter[str] = field(default_factory=Counter[str])

    async def calls(self) -> None:
        """Make them, and look at half of what was left working."""
        working: list[str] = []
        seen: set[str] = set()
        for number in range(CALLS_OF_A_RUN):
            await self.renting.meanwhile(self.client)
            # Towards the end, what was not called by chance.
            left = WEIGHTS.keys() - self.tools.keys() if number > CALLS_OF_A_RUN * 4 // 5 else frozenset[str]()
            answer, keys = await self._one(seen, left)
            seen |= keys
            if answer.get("status") == "working" and answer.get("task_id"):
                working.append(answer["task_id"])
        for task_id in working[::2]:
            await self.client.call_tool("get_task", {"task_id": task_id, "wait_seconds": 1})
        for row in (await rows_of(self.journal)).values():
            if row.tool == "create_batch" and row.task_id:
                await self.client.call_tool("get_batch", {"batch_id": row.task_id})

    async def _one(self, seen: set[str], among: Collection[str]) -> tuple[Json, set[str]]:
        """One call with its fault, of these tools if any are named; its answer, and the row it made."""
        tool, arguments = a_call(self.roll, self.things, self.renting, among)
        fault = a_fault(self.roll, self.world)
        charged, begun = len(self.world.charges), set(self.world.area(BatchState).batches)
        result = await self.client.call_tool(tool, arguments)
        self.world.troubles.clear()
        self.world.doomed.clear()
        self.renting.hear(result)
        self.happened[f"{tool}, {fault}: {'error' if result.is_error else 'answer'}"] += 1
        self.tools[tool] += 1
        keys = set(await rows_of(self.journal)) - seen
        assert len(keys) <= 1, f"{tool} made {len(keys)} rows"
        new = [charge for charge in self.world.charges[charged:] if not is_by_time(charge)]
        assert keys or not new, f"{tool} was charged and not noted: {text_of(result)}"
        batches = set(self.world.area(BatchState).batches) - begun
        for key in keys:
            self.bought[key] = [charge for charge in new if charge.ref not in batches]
            self.batches |= dict.fromkeys(keys, next(iter(batches))) if batches else {}
        return result.structured_content or {}, keys

    def charged(self, key: str) -> int:
        """What a row that does not cost by time was charged, at once and later."""
        late = [each for each in self.world.charges if each.ref and each.ref == self.batches.get(key)]
        return paid([*self.bought.get(key, []), *late])

    @property
    def sandboxes(self) -> set[str]:
        """Those that were charged for."""
        return {charge.ref for charge in self.world.charges if charge.operation == OPERATION}

    def by_thing(self) -> dict[str, int]:
        """What each machine, volume, endpoint and sandbox was charged."""
        found: dict[str, int] = {}
        for charge in filter(is_by_time, self.world.charges):
            found[charge.ref] = found.get(charge.ref, 0) + paid([charge])
        return found


def meters_agree(run: Run, rows: Mapping[str, Row]) -> None:
    """Before the bill: nothing is said to cost any more, and what was metered is near what was charged for it."""
    assert [row for row in rows.values() if row.rate is not None] == []
    compared = 0
    for thing, charged in run.by_thing().items():
        about = [row for row in rows.values() if row.about == thing and row.tool != "call_endpoint"]
        if any(row.tool in ENDPOINTS and not row.facts.get("min_workers") for row in about):
            continue  # calls start its workers: an estimate stands for them until the bill
        counted, doubtful = sum(row.counted for row in about), sum(row.counted for row in about if row.doubtful)
        where = f"{thing}: counted {counted}, doubtful {doubtful}, charged {charged}, {about}"
        assert counted - doubtful - METERED <= charged <= counted + METERED, where
        compared += 1
    assert compared > 20


def every_row_agrees(run: Run, rows: Mapping[str, Row]) -> int:
    """What does not cost by time: each row by its own charges. Micro dollars of doubtful rows and margins, never
    charged.
    """
    never_charged = 0
    for key, row in rows.items():
        if row.tool in BY_TIME:
            continue
        charged, counted = run.charged(key), row.counted - row.margin
        where = f"{row.tool}, {row.state}: counted {counted}, charged {charged}"
        near = ROUNDING if row.tool in BY_TOKENS else 0
        if row.free:
            assert charged == 0, where
        elif row.doubtful and row.tool in BY_TOKENS:
            assert charged <= counted + near, where
        elif row.doubtful:
            assert charged in (0, counted), where
        else:
            assert abs(charged - counted) <= near, where
        never_charged += row.margin + (counted - charged if row.doubtful else 0)
    return never_charged


def every_thing_agrees(run: Run, rows: Mapping[str, Row]) -> int:
    """What costs by time, after the bill: all rows about a thing together. Micro dollars of doubtful rows."""
    charged = run.by_thing()
    by_time = [row for row in rows.values() if row.tool in BY_TIME]
    sure = [row for row in by_time if not (row.doubtful or row.free)]
    unseen = {thing: usd for thing, usd in charged.items() if thing not in {row.about for row in sure}}
    # A sandbox whose creation was not answered may end by itself before anybody looks: then its row stays doubtful.
    lost = sorted(row.counted for row in by_time if row.doubtful and row.about is None and row.tool in SANDBOXES)
    assert unseen.keys() <= run.sandboxes, "something was charged for that no row is about"
    assert len(unseen) <= len(lost) and sum(unseen.values()) <= sum(lost), f"{unseen} {lost}"
    for thing in {row.about for row in sure}:
        about = [row for row in sure if row.about == thing]
        where = f"{thing}: charged {charged.get(str(thing), 0)}, {about}"
        assert abs(sum(row.counted for row in about) - charged.get(str(thing), 0)) <= BILLED, where
    return sum(row.counted for row in by_time if row.doubtful) - sum(unseen.values())


@pytest.mark.old_models
@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261123, 5])
async def test_500_random_calls_with_faults_agree_with_novitas_books_to_the_cent(
    seed: int, simulator: Running, world: World, settings: Settings, tmp_path: Path
) -> None:
    world.add_account("sk-simulated", 1_000_000)
    world.set(unlisted_price_usd=float(UNKNOWN), link_ttl=10**9)
    world.area(SimulatedSandboxes).pause_seconds_per_gib = 0
    roll, journal = random.Random(seed), Journal(Path(settings.journal), clock=StageClock(world))
    chosen = replace(settings, toolsets="all", unknown_price_usd=UNKNOWN, thumbnails=False)

    async with Client(create_app(chosen, build=built_on(world)), mode="legacy") as client:
        TAKES.update({spec.name: spec.build().taken["properties"] for toolset in TOOLSETS for spec in toolset.tools})
        things, renting = Things(tmp_path, world, simulator.url), Renting(roll, world)
        run = Run(roll, world, client, journal, things, renting)
        await run.calls()
        await renting.give_everything_back(client)
        before = await rows_of(journal)
        world.advance(3 * DAY)
        told = await spend(client)
        rows = await rows_of(journal)
        again = await spend(client)

    meters_agree(run, before)
    assert any("corrected by Novita's bill" in note for note in told["notes"])
    assert not any("corrected by Novita's bill" in note for note in again["notes"])
    never_charged = every_row_agrees(run, rows) + every_thing_agrees(run, rows)

    counted = sum(row.counted for row in rows.values())
    books = Decimal(paid(world.charges)) / 1_000_000
    ours = Decimal(counted - never_charged) / 1_000_000
    assert abs(books - ours) < CENT, f"Novita charged ${books}, we say ${ours}"

    ledger = total(await read_ledger(journal, Period(date(2026, 1, 1), date(2100, 1, 1))))
    await journal.close()
    assert ledger.counted == Decimal(counted) / 1_000_000
    assert ledger.doubtful == Decimal(sum(row.counted for row in rows.values() if row.doubtful)) / 1_000_000
    assert ledger.calls == len(rows)
    # What the ledger says of itself: the truth lies between all and all that is sure.
    margins = Decimal(sum(row.margin for row in rows.values())) / 1_000_000
    assert ledger.counted - ledger.doubtful - margins - CENT < books < ledger.counted + CENT
    # And that the run was worth something.
    assert run.tools.total() == CALLS_OF_A_RUN
    assert set(run.tools) == {*CALLS, *BY_TIME} == set(spending_tools())
    assert sum(row.doubtful for row in rows.values()) > 20
    assert sum(row.free for row in rows.values()) > 3
    assert any(row.unpriced and row.counted > UNKNOWN * 1_000_000 for row in rows.values())
    assert books > 500


async def spend(client: Client) -> Json:
    """What novita://spend says; reading it lets the bill have its word."""
    (content,) = (await client.read_resource("novita://spend")).contents
    return json.loads(getattr(content, "text", ""))
