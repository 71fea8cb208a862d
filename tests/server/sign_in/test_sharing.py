"""Several people on one company key: each has a cap, all together have one, and their things are apart."""

from collections.abc import Generator
from dataclasses import replace
from decimal import Decimal

import anyio
import anyio.to_thread
import pytest
from novita_mcp.novita.core.redaction import owner_of_subject
from novita_mcp.server.commands.forget import run_forget
from novita_mcp.server.http import web_server
from novita_mcp.server.settings import SettingError, Settings
from novita_mcp.server.sign_in.forgetting import forget
from novita_mcp.simulator.core.world import DEFAULT_KEY, World

from ...conftest import text_of
from ...storage import run_storage
from ..callers import caller, facts
from .authority import Authorities, authorization_server
from .serving import SignInServer, signing_in

TEAM_KEY = "sk_the-company-key-0123456789"
WISH = {"model": "qwen-image-txt2img", "prompt": "a fox"}
pytestmark = pytest.mark.old_models


@pytest.fixture
def authority(world: World) -> Generator[Authorities]:
    world.add_account(TEAM_KEY)
    with authorization_server() as held:
        yield held


async def price_of_one(running: SignInServer) -> Decimal:
    async with caller(running.url, running.token("somebody")) as client:
        told = facts(await client.call_tool("generate_image", {**WISH, "dry_run": True}))
    return Decimal(told.get("counted_usd", told["estimated_cost_usd"]))


async def make(running: SignInServer, who: str, number: int) -> str:
    """What a picture's call answers: "succeeded", or the text of its error."""
    token = who if who.startswith("sk") else running.token(who)
    async with caller(running.url, token) as client:
        answer = await client.call_tool("generate_image", {**WISH, "prompt": f"fox {number} of {who}"})
    return text_of(answer) if answer.is_error else facts(answer)["status"]


async def test_each_has_a_cap_and_all_together_have_one(
    settings: Settings, authority: Authorities, world: World
) -> None:
    with signing_in(settings, authority, team_key=TEAM_KEY, vault_keys="") as running:
        price = await price_of_one(running)
    limits = {"spend_limit_usd": price * 2, "team_limit_usd": price * 5}
    with signing_in(settings, authority, team_key=TEAM_KEY, vault_keys="", **limits) as running:
        told = [await make(running, "alice", number) for number in range(3)]
        assert told[:2] == ["succeeded"] * 2
        assert "NOVITA_MCP_SPEND_LIMIT_USD" in told[2]
        assert [await make(running, "bob", number) for number in range(2)] == ["succeeded"] * 2
        assert await make(running, DEFAULT_KEY, 0) == "succeeded"  # his own money: neither limited nor counted
        assert [await make(running, TEAM_KEY, number) for number in range(1)] == ["succeeded"]  # the team's very key
        refused = await make(running, "carol", 0)
        assert "the whole team today" in refused
        assert "Nothing was billed" in refused
    assert len([charge for charge in world.charges if charge.account.key == TEAM_KEY]) == 5


async def test_the_cap_of_all_holds_for_calls_at_one_time_on_two_copies(
    settings: Settings, authority: Authorities, world: World
) -> None:
    with signing_in(settings, authority, team_key=TEAM_KEY, vault_keys="") as running:
        price = await price_of_one(running)
    more = {"team_key": TEAM_KEY, "vault_keys": "", "team_limit_usd": price * 7}
    told: list[str] = []
    with signing_in(settings, authority, **more) as one, signing_in(settings, authority, **more) as two:

        async def ask(running: SignInServer, who: str) -> None:
            told.append(await make(running, who, 0))

        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(ask, (one, two)[number % 2], f"person {number}")
    assert told.count("succeeded") == 7
    assert len(world.charges) == 7


async def test_what_was_removed_still_counts_today(settings: Settings, authority: Authorities, world: World) -> None:
    """Nobody gets a new day by having himself forgotten."""
    with signing_in(settings, authority, team_key=TEAM_KEY, vault_keys="") as running:
        price = await price_of_one(running)
    for limits in ({"spend_limit_usd": price * 2}, {"team_limit_usd": price * 4}):
        with signing_in(settings, authority, team_key=TEAM_KEY, vault_keys="", **limits) as running:
            who = f"person with {next(iter(limits))}"
            assert [await make(running, who, number) for number in range(2)] == ["succeeded"] * 2
            shared = running.server.shared
            assert shared is not None
            removed = await forget(shared.app, owner_of_subject(authority.issuer, who))
            assert removed.jobs == 2
            assert "would be passed" in await make(running, who, 2)


async def test_whoever_runs_the_server_removes_somebody_who_left(
    settings: Settings, authority: Authorities, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the server's own settings; from files in storage on, all of one person, and nothing of another."""
    with run_storage() as storage, pytest.MonkeyPatch.context() as patch:
        for name, value in storage.credentials.items():
            patch.setenv(name, value)
        chosen = replace(settings, artifacts=storage.url())
        with signing_in(chosen, authority, team_key=TEAM_KEY, vault_keys="") as running:
            assert [await make(running, who, 0) for who in ("alice", "bob")] == ["succeeded"] * 2
            kept = storage.keys()
            assert len(kept) == 2
            leaving = replace(chosen, oauth_issuer=authority.issuer)
            # In a thread: the command brings a loop of its own.
            assert await anyio.to_thread.run_sync(run_forget, leaving, "alice") == 0
            assert "1 task and 1 file" in capsys.readouterr().out
            assert len(storage.keys()) == 1
            for who, has in (("alice", 0), ("bob", 1)):
                async with caller(running.url, running.token(who)) as client:
                    assert len(facts(await client.call_tool("list_tasks", {}))["tasks"]) == has
    with pytest.raises(SettingError, match="ISSUER"):
        run_forget(settings, "alice")


async def test_people_on_one_key_see_nothing_of_each_other(settings: Settings, authority: Authorities) -> None:
    with signing_in(settings, authority, team_key=TEAM_KEY, vault_keys="") as running:
        async with caller(running.url, running.token("alice")) as client:
            assert "show_key_page" not in {tool.name for tool in (await client.list_tools()).tools}
            mine = facts(await client.call_tool("generate_image", WISH))["task_id"]
        async with caller(running.url, running.token("bob")) as client:
            assert (await client.call_tool("get_task", {"task_id": mine})).is_error
            assert facts(await client.call_tool("list_tasks", {}))["tasks"] == []
            # The same wish of another person is another picture.
            assert facts(await client.call_tool("generate_image", WISH))["task_id"] != mine


def test_a_limit_that_would_be_none_is_refused(settings: Settings) -> None:
    signed = {"oauth_issuer": "https://login.example.com", "public_url": "https://mcp.example.com"}
    for bad in (
        {"team_key": TEAM_KEY},
        {"team_limit_usd": Decimal(1)},
        {**signed, "vault_keys": "v" * 32, "team_limit_usd": Decimal(1)},
    ):
        with pytest.raises(SettingError, match="NOVITA_MCP_TEAM_"):
            web_server(replace(settings, **bad))
