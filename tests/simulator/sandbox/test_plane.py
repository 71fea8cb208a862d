"""The control plane answers, refuses, ends and charges as the facts say."""

import json
import urllib.parse
from datetime import datetime

import pytest
from novita_mcp.simulator import World
from novita_mcp.simulator.sandbox.state import SimulatedSandboxes
from raw import CODE, Inside, Raw, message_of


def test_a_bare_create_lives_fifteen_seconds(raw: Raw) -> None:
    made = raw.ask("POST", "/sandboxes", {"templateID": CODE}).json()

    detail = raw.ask("GET", f"/sandboxes/{made['sandboxID']}").json()

    lived = datetime.fromisoformat(detail["endAt"]) - datetime.fromisoformat(detail["startedAt"])
    assert lived.total_seconds() == 15
    assert "envdAccessToken" not in made, "secure is the SDK's default, not the API's"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "templateID"),
        ({"templateID": 7}, "templateID"),
        ({"templateID": CODE, "timeout": "60"}, "timeout"),
        ({"templateID": CODE, "timeOut": 60}, "timeOut"),
        ({"templateID": CODE, "envVars": {"A": 1}}, "envVars"),
        ({"templateID": CODE, "envVars": {"A B": "1"}}, "A B"),
        ({"templateID": CODE, "metadata": {"idle_timeout": "59"}}, "idle_timeout"),
        ({"templateID": CODE, "metadata": {"idle_timeout": 90}}, "metadata"),
        ({"templateID": CODE, "autoResume": {"enabled": True}}, "autoPause"),
        ({"templateID": CODE, "timeout": 3 * 3600 + 1}, "greater than 3 hours"),
        ({"templateID": CODE, "network": {"allowPublic": True}}, "allowPublic"),
        ({"templateID": CODE, "secrets": {"T": "none"}}, "secret 'none'"),
        ({"templateID": CODE, "secrets": {"T": "x"}, "envVars": {"T": "y"}}, "in envVars and in secrets"),
    ],
)
def test_a_create_that_is_not_as_documented_is_refused_by_name(raw: Raw, body: object, says: str) -> None:
    status, message = message_of(raw.ask("POST", "/sandboxes", body))

    assert (status, says in message) == (400, True), message
    assert raw.ask("GET", "/v2/sandboxes").json() == []


def test_keys_are_taken_from_x_api_key_only(raw: Raw, world: World) -> None:
    wrong = raw.inside.get("/v2/sandboxes", headers={"Authorization": "Bearer sk-simulated"})
    unknown = raw.inside.get("/v2/sandboxes", headers={"X-API-KEY": "sk-other"})

    assert [wrong.status_code, unknown.status_code] == [401, 401]
    assert wrong.json()["code"] == 401


def test_what_there_is_not_is_not_found_and_another_accounts_is_the_same(raw: Raw, world: World) -> None:
    mine = raw.create()
    world.add_account("sk-other")
    other = {"X-API-KEY": "sk-other"}

    answers = [raw.inside.get(f"/sandboxes/{id}", headers=other).status_code for id in (mine.id, "nothing")]

    assert answers == [404, 404]
    assert message_of(raw.ask("POST", "/sandboxes", {"templateID": "nobody"}))[0] == 404
    assert raw.ask("DELETE", "/sandboxes/nothing").status_code == 404


def test_connecting_only_ever_adds_time_and_a_timeout_set_can_take_it(raw: Raw, state: SimulatedSandboxes) -> None:
    sandbox = raw.create(timeout=600)
    ends = state.sandboxes[sandbox.id].ends

    shorter = raw.ask("POST", f"/sandboxes/{sandbox.id}/connect", {"timeout": 60})
    assert (shorter.status_code, state.sandboxes[sandbox.id].ends) == (200, ends)
    raw.ask("POST", f"/sandboxes/{sandbox.id}/connect", {"timeout": 1200})
    assert state.sandboxes[sandbox.id].ends > ends + 590
    assert raw.ask("POST", f"/sandboxes/{sandbox.id}/timeout", {"timeout": 30}).status_code == 204
    assert state.sandboxes[sandbox.id].ends < ends


def test_a_pause_is_told_at_once_and_works_on_while_connecting_waits(
    raw: Raw, world: World, state: SimulatedSandboxes
) -> None:
    state.pause_seconds_per_gib = 0.4
    sandbox = raw.create()
    sandbox.write("kept.txt", b"kept")

    assert raw.ask("POST", f"/sandboxes/{sandbox.id}/pause").status_code == 204
    assert raw.detail(sandbox)["state"] == "paused"
    inside = sandbox.file("kept.txt")
    assert (inside.status_code, inside.json()["code"]) == (502, 502)
    assert raw.ask("POST", f"/sandboxes/{sandbox.id}/pause").status_code == 409
    before = world.clock.now()
    answer = raw.ask("POST", f"/sandboxes/{sandbox.id}/connect", {"timeout": 60})
    assert (answer.status_code, world.clock.now() - before > 0.2) == (201, True)
    assert sandbox.file("kept.txt").content == b"kept"
    assert raw.ask("POST", f"/sandboxes/{sandbox.id}/resume", {"timeout": 60}).status_code == 409


def test_files_may_be_lost_on_a_later_resume(raw: Raw, state: SimulatedSandboxes) -> None:
    """Known of the original (e2b-dev/E2B 884); ordered here by a knob."""
    state.lose_files_on_resume = 2
    sandbox = raw.create()
    sandbox.write("kept.txt", b"kept")
    found: list[int] = []
    for _ in range(2):
        raw.ask("POST", f"/sandboxes/{sandbox.id}/pause")
        raw.ask("POST", f"/sandboxes/{sandbox.id}/connect", {"timeout": 60})
        found.append(sandbox.file("kept.txt").status_code)

    assert found == [200, 404]


def test_time_ends_a_sandbox_and_the_events_tell_how(raw: Raw, world: World) -> None:
    over, deleted, pausing = raw.create(timeout=60), raw.create(timeout=60), raw.create(timeout=60, autoPause=True)
    raw.ask("DELETE", f"/sandboxes/{deleted.id}")

    world.advance(61)

    assert raw.ask("GET", f"/sandboxes/{over.id}").status_code == 404
    assert raw.detail(pausing)["state"] == "paused"
    names = {
        sandbox.id: [
            item["eventName"] for item in raw.ask("GET", "/sandboxes/events", sandboxID=sandbox.id).json()["items"]
        ]
        for sandbox in (over, deleted, pausing)
    }
    assert names == {
        over.id: ["timeout", "create"],
        deleted.id: ["delete", "create"],
        pausing.id: ["pause", "create"],
    }


def test_idle_time_ends_it_unless_something_is_connected(raw: Raw, world: World) -> None:
    idle, used = (raw.create(timeout=3600, metadata={"idle_timeout": "60"}) for _ in range(2))
    held = used.start("sleep 100")
    next(held)

    world.advance(61)

    assert raw.ask("GET", f"/sandboxes/{idle.id}").status_code == 404
    assert raw.ask("GET", f"/sandboxes/{used.id}").status_code == 200
    held.close()


def test_activity_wakes_one_that_resumes_by_itself(raw: Raw, world: World) -> None:
    sandbox = raw.create(timeout=60, autoPause=True, autoResume={"enabled": True})
    sandbox.write("a", b"1")
    world.advance(61)
    assert raw.detail(sandbox)["state"] == "paused"

    assert sandbox.file("a").content == b"1"
    assert raw.detail(sandbox)["state"] == "running"


def test_lists_are_filtered_by_state_and_metadata_and_come_in_pages(raw: Raw) -> None:
    made = [raw.create(metadata={"n": str(i % 2), "odd key=&": "ü %"}) for i in range(5)]
    raw.ask("POST", f"/sandboxes/{made[0].id}/pause")

    assert len(raw.ask("GET", "/v2/sandboxes").json()) == 4, "without a state: the running ones"
    assert [each["sandboxID"] for each in raw.ask("GET", "/v2/sandboxes", state="paused").json()] == [made[0].id]
    wanted = urllib.parse.urlencode({urllib.parse.quote("odd key=&"): urllib.parse.quote("ü %"), "n": "1"})
    assert len(raw.ask("GET", "/v2/sandboxes", metadata=wanted).json()) == 2
    seen: list[str] = []
    query = {"state": "running,paused", "limit": "2"}
    for _ in range(3):
        page = raw.ask("GET", "/v2/sandboxes", **query)
        seen += [each["sandboxID"] for each in page.json()]
        query["nextToken"] = page.headers.get("x-next-token", "")
    assert sorted(seen) == sorted(each.id for each in made)
    assert query["nextToken"] == ""


def test_more_than_the_quota_is_429_and_the_quota_says_so(raw: Raw, state: SimulatedSandboxes) -> None:
    state.quota["concurrentInstances"] = 2
    first, _ = raw.create(), raw.create()

    refused = raw.ask("POST", "/sandboxes", {"templateID": CODE})

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert raw.ask("GET", "/sandboxes/quota").json()["usage"] == {
        "concurrentInstances": 2,
        "concurrentVcpu": 4,
        "concurrentRamMb": 2048,
    }
    raw.ask("DELETE", f"/sandboxes/{first.id}")
    assert raw.ask("POST", "/sandboxes", {"templateID": CODE}).status_code == 201


def test_cores_and_memory_cost_by_the_second_and_nothing_while_paused(raw: Raw, world: World) -> None:
    """2 cores and 1 GiB: 2 x $0.0000098 + $0.0000032 a second, from the pricing page."""
    sandbox = raw.create(timeout=3600)

    world.advance(1000)
    raw.ask("POST", f"/sandboxes/{sandbox.id}/pause")
    world.advance(5000)
    raw.ask("GET", f"/sandboxes/{sandbox.id}")

    paid = 100 - world.balance_usd()
    assert paid == pytest.approx(1000 * 0.0000228, abs=0.0001)
    assert {charge.ref for charge in world.charges} == {sandbox.id}


def test_paused_disks_beyond_the_free_sixty_gigabytes_cost_storage(raw: Raw, world: World) -> None:
    paused = [raw.create(timeout=3600) for _ in range(4)]
    for sandbox in paused:
        raw.ask("POST", f"/sandboxes/{sandbox.id}/pause")
    before = world.balance_usd()

    world.advance(36_000)
    raw.ask("GET", "/v2/sandboxes")

    beyond = 4 * 20_480 * 2**20 / 1e9 - 60
    assert before - world.balance_usd() == pytest.approx(beyond * 0.00009 * 10, rel=0.01)


def test_bills_name_the_agent_sandbox(raw: Raw, world: World) -> None:
    raw.create(timeout=3600)
    world.advance(3000)
    raw.ask("GET", "/v2/sandboxes")

    with_key = {"Authorization": "Bearer sk-simulated"}
    query = {"cycleType": "Day", "productCategory": "cloud_sandbox"}
    answer = raw.inside.get("/openapi/v1/billing/bill/list", headers=with_key, params=query)

    lines = answer.json()
    assert answer.status_code == 200, answer.text
    assert "Agent Sandbox" in json.dumps(lines)


def test_an_account_that_cannot_pay_loses_its_sandboxes(raw: Raw, world: World) -> None:
    world.add_account("sk-simulated", 0.0001)
    sandbox = raw.create(timeout=3600)

    world.advance(600)

    assert raw.ask("GET", f"/sandboxes/{sandbox.id}").status_code == 404
    assert raw.ask("GET", "/sandboxes/events", sandboxID=sandbox.id).json()["items"][0]["eventName"] == "overdue"


def test_metrics_come_every_five_seconds_and_are_empty_at_first(raw: Raw, world: World) -> None:
    sandbox = raw.create(timeout=3600)
    assert raw.ask("GET", f"/sandboxes/{sandbox.id}/metrics").json() == []

    world.advance(31)

    lines = raw.ask("GET", f"/sandboxes/{sandbox.id}/metrics").json()
    assert len(lines) == 6
    assert {lines[i + 1]["timestampUnix"] - lines[i]["timestampUnix"] for i in range(5)} == {5}
    assert lines[0]["memTotal"] == 1024 * 2**20
    both = raw.ask("GET", "/sandboxes/metrics", sandbox_ids=f"{sandbox.id},nothing").json()["sandboxes"]
    assert list(both) == [sandbox.id]


def test_snapshots_start_copies_and_outlive_their_source(raw: Raw) -> None:
    source = raw.create()
    source.write("seed.txt", b"seed")
    made = raw.ask("POST", f"/sandboxes/{source.id}/snapshots", {"name": "mine"}).json()
    raw.ask("DELETE", f"/sandboxes/{source.id}")

    copy = raw.create(templateID=made["snapshotID"])

    assert copy.file("seed.txt").content == b"seed"
    assert [each["names"] for each in raw.ask("GET", "/snapshots").json()] == [["mine"]]
    listed = raw.ask("GET", "/v2/templates", template_type="snapshot_template").json()
    assert [each["templateID"] for each in listed["templates"]] == [made["snapshotID"]]
    assert raw.ask("DELETE", f"/templates/{made['snapshotID']}").status_code == 204
    assert raw.ask("GET", "/snapshots").json() == []


def test_clones_are_apart_from_their_source(raw: Raw) -> None:
    source = raw.create()
    source.write("a", b"1")

    answer = raw.ask("POST", f"/sandboxes/{source.id}/clone", {"count": 2, "timeout": 60}).json()

    copies = [Inside(raw, made) for made in answer["sandboxes"]]
    copies[0].write("a", b"2")
    assert [each.file("a").content for each in (source, *copies)] == [b"1", b"2", b"1"]


def test_secrets_are_written_and_never_read(raw: Raw) -> None:
    body = {"name": "hub", "value": "s3cret-value", "hosts": ["api.example.com"]}
    assert raw.ask("POST", "/secrets", body).status_code == 201
    assert raw.ask("POST", "/secrets", body).status_code == 409

    sandbox = raw.create(secrets={"TOKEN": "hub"})

    assert "s3cret-value" not in raw.ask("GET", "/secrets").text
    assert sandbox.run("printenv TOKEN")[1] == "novita-secret-placeholder-hub\n"
    assert raw.ask("DELETE", "/secrets/hub").json() == {"deleted": True}


def test_adding_memory_raises_the_price(raw: Raw, world: World, state: SimulatedSandboxes) -> None:
    sandbox = raw.create(timeout=3600)
    before = state.sandboxes[sandbox.id].rate()

    assert raw.ask("POST", f"/sandboxes/{sandbox.id}/hotplug-memory", {"requested_size_mib": 512}).status_code == 204

    assert state.sandboxes[sandbox.id].rate() == before + 138_240
    assert raw.ask("POST", f"/sandboxes/{sandbox.id}/hotplug-memory", {"requested_size_mib": 100}).status_code == 400
    assert raw.detail(sandbox)["memoryMB"] == 1536
