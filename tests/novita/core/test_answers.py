"""Reading answers: every spelling and type on record, of both generations, and what no answer may do."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.answers import Moment, Shape, Text, id_in, next_cursor_in, read_rows, read_shape
from novita_mcp.novita.core.errors import InputError, NovitaConnectionError
from novita_mcp.novita.core.json_paths import every
from novita_mcp.novita.core.waiting import Phase
from novita_mcp.novita.gpu.instances import Instance, InstanceGoal, judge, read_ports
from novita_mcp.novita.gpu.products import MachineProduct, memory_in, named
from novita_mcp.novita.gpu.resources import GpuJob, Network
from novita_mcp.novita.gpu.templates import Template


def test_numbers_may_be_text_and_lists_may_be_null() -> None:
    read = read_shape(
        MachineProduct,
        {"id": "p", "price": "35000", "spotPrice": 0, "memoryPerGpu": "100", "regions": None, "monthlyPrice": None},
        "x",
    )
    assert (read.price, read.spot_price, read.memory_per_gpu) == (Decimal(35000), Decimal(0), 100)
    assert (read.regions, read.monthly_price) == ((), ())


@pytest.mark.parametrize(
    "raw",
    [
        {"id": "i", "status": "exited", "statusError": {"state": "E", "message": "m"}, "clusterId": "us"},
        {"id": "i", "status": {"status": "exited", "error": "E", "message": "m"}, "region": "us"},
        {"Id": "i", "Status": "exited", "status_error": [{"state": "E", "message": "m"}], "cluster_id": "us"},
    ],
)
def test_both_generations_and_odd_cases_read_the_same(raw: dict[str, object]) -> None:
    read = read_shape(Instance, raw, "x")
    assert (read.id, read.status, read.why, read.cluster_id) == ("i", "exited", "E: m", "us")


def test_secrets_do_not_show_by_accident() -> None:
    raw = {
        "id": "i",
        "envs": [{"key": "TOKEN", "value": "hunter2-x"}],
        "connectComponentSSH": {"sshCommand": "ssh root@x", "password": "hunter2-y"},
        "sshPassword": "hunter2-z",
    }
    read = read_shape(Instance, raw, "x")
    assert read.connect_component_ssh.password.get_secret_value() == "hunter2-y"
    assert "hunter2" not in repr(read) + str(read) + read.model_dump_json()


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "NaN", "1e400", "", "x", [], {}, True])
def test_what_is_no_number_reads_as_none(value: object) -> None:
    read = read_shape(Instance, {"id": "i", "gpuNum": value, "createdAt": value}, "x")
    assert (read.gpu_num, read.created_at) == (None, None)


def test_times_are_seconds_as_text_and_zero_is_never() -> None:
    read = read_shape(Instance, {"id": "i", "createdAt": "1763880000", "endTime": "-1", "spotReclaimTime": "0"}, "x")
    assert read.created_at == datetime.fromtimestamp(1763880000, UTC)
    assert (read.end_time, read.spot_reclaim_time) == (None, None)


def test_one_object_stands_for_a_list_and_a_list_of_one_for_an_object() -> None:
    network = read_shape(
        Network, {"Id": "n", "state": [{"state": "ready"}], "Addresses": [{"Id": "i", "Ip": "1"}]}, "x"
    )
    assert (network.state.state, network.addresses[0].id) == ("ready", "i")
    job = read_shape(GpuJob, {"Id": "j", "state": {"state": "fail", "message": "why"}}, "x")
    assert job.why == "why"
    assert [row.id for row in read_rows(Network, {"network": {"Id": "n"}}, "x", "networks", "network")] == ["n"]
    assert read_rows(Network, {"network": None}, "x", "network") == []


def test_a_template_reads_in_both_spellings() -> None:
    v1 = read_shape(Template, {"Id": "t", "startCommand": "go", "rootfsSize": 60, "ports": None}, "x")
    v2 = read_shape(Template, {"template_id": "t", "command": "go", "rootfs_size_gb": 60}, "x")
    assert (v1.id, v1.start_command, v1.rootfs_size) == (v2.id, v2.start_command, v2.rootfs_size) == ("t", "go", 60)


def test_an_answer_that_cannot_be_read_says_where_and_repeats_nothing() -> None:
    with pytest.raises(NovitaConnectionError) as caught:
        read_shape(Instance, {"name": "hunter2"}, "reading the instance")
    assert "(id)" in str(caught.value) and "hunter2" not in str(caught.value)
    with pytest.raises(NovitaConnectionError):
        read_rows(Instance, ["x"], "listing", "instances")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["id", "status", "statusError", "envs", "portMappings", "createdAt", "gpuNum", "connectComponentSSH", "price"]


@given(st.dictionaries(st.sampled_from(FIELDS), anything))
def test_whatever_novita_answers_is_read_or_refused(raw: dict[str, object]) -> None:
    for kind in (Instance, MachineProduct, Template):
        try:
            read_shape(kind, raw, "x")
        except NovitaConnectionError as error:
            assert "could not be read" in str(error)


@pytest.mark.parametrize(
    ("answer", "found"),
    [("bare", "bare"), ({"storageId": "s"}, "s"), ({"storage_id": 7}, "7"), ({}, ""), (None, ""), ([], "")],
)
def test_ids_of_what_was_made(answer: object, found: str) -> None:
    assert id_in(answer, "storageId") == found


def test_names_match_without_spaces_and_memory_is_read_from_them() -> None:
    assert named("rtx4090", "RTX 4090 24GB 4090.18c100g")
    assert named("h100 sxm", "H100 SXM 80GB")
    assert not named("4090", "RTX 5090 32GB")
    assert [memory_in(name) for name in ("RTX 4090 24GB", "H200 SXM 141 GB", "RTX 4090")] == [24, 141, None]


@pytest.mark.parametrize(
    ("status", "goal", "phase"),
    [
        ("pulling", InstanceGoal.RUNNING, Phase.WORKING),
        ("running", InstanceGoal.RUNNING, Phase.SUCCEEDED),
        ("exited", InstanceGoal.RUNNING, Phase.FAILED),
        ("removing", InstanceGoal.RUNNING, Phase.FAILED),
        ("a word nobody knows", InstanceGoal.RUNNING, Phase.WORKING),
        ("stopping", InstanceGoal.STOPPED, Phase.WORKING),
        ("exited", InstanceGoal.STOPPED, Phase.SUCCEEDED),
        ("removed", InstanceGoal.STOPPED, Phase.SUCCEEDED),
        ("removing", InstanceGoal.GONE, Phase.WORKING),
        ("removed", InstanceGoal.GONE, Phase.SUCCEEDED),
    ],
)
def test_what_states_mean_for_one_who_waits(status: str, goal: InstanceGoal, phase: Phase) -> None:
    assert judge(Instance(id="i", status=status), goal).phase is phase


def test_a_start_may_still_show_the_state_before_but_not_a_failure() -> None:
    assert judge(Instance(id="i", status="exited"), InstanceGoal.RUNNING, just_begun=True).phase is Phase.WORKING
    failed = read_shape(Instance, {"id": "i", "status": "exited", "statusError": {"state": "E"}}, "x")
    assert judge(failed, InstanceGoal.RUNNING, just_begun=True).phase is Phase.FAILED


@given(st.lists(st.integers(-5, 70_000), max_size=20))
def test_ports_are_legal_or_refused(numbers: list[int]) -> None:
    try:
        ports = read_ports([f"{number}/tcp" for number in numbers])
    except InputError:
        return
    assert len(ports) <= 15
    assert all(1 <= port <= 65_535 and port not in (2222, 2223, 2224) for port, _ in ports)
    assert len({port for port, _ in ports}) == len(ports)


class Odd(Shape):
    """A shape with two other spellings."""

    id: Text
    state: Text = "unknown"
    at: Moment = None
    other_names: ClassVar[Mapping[str, str]] = {"status": "state", "phase": "state"}


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        ({"state": None, "status": "a", "phase": "b"}, "a"),
        ({"phase": "b", "Status": "", "STATE": ""}, "b"),
        ({"status": "a", "state": "own"}, "own"),
        ({"state": "", "status": None}, "unknown"),
    ],
)
def test_the_first_spelling_that_says_something_is_read(raw: dict[str, object], state: str) -> None:
    assert read_shape(Odd, {"id": "", **raw}, "x").state == state


@pytest.mark.parametrize(
    "told", [1763880000, "1763880000.0", 1763880000000, "2025-11-23T06:40:00Z", "2025-11-23T07:40:00+01:00"]
)
def test_times_are_read_however_they_are_written(told: object) -> None:
    assert read_shape(Odd, {"id": "i", "at": told}, "x").at == datetime.fromtimestamp(1763880000, UTC)


@pytest.mark.parametrize("never", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31", "soon", "0"])
def test_what_is_no_time_is_never(never: str) -> None:
    assert read_shape(Odd, {"id": "i", "at": never}, "x").at is None


@pytest.mark.parametrize("answer", [{}, {"rows": "x"}, {"rows": {}}, {"rows": [{"id": "i"}, "x"]}, [], None])
def test_a_list_that_must_be_whole_is_refused_where_it_is_not(answer: object) -> None:
    with pytest.raises(NovitaConnectionError, match="while listing could not be read"):
        read_rows(Odd, answer, "listing", "rows", whole=True)
    assert read_rows(Odd, {"Rows": None}, "listing", "rows", whole=True) == []


@pytest.mark.parametrize(
    ("answer", "cursor"),
    [
        ({"next_cursor": "c"}, "c"),
        ({"nextCursor": 7, "hasMore": True}, "7"),
        ({"next_cursor": "c", "has_more": False}, None),
        ({"next_cursor": "c", "has_more": "false"}, None),
        ({"has_more": True}, None),
        (None, None),
    ],
)
def test_where_the_next_page_begins(answer: object, cursor: str | None) -> None:
    assert next_cursor_in(answer) == cursor


def test_every_value_at_a_path_is_found_with_its_place() -> None:
    body = {"a": [{"b": [1, None]}, {"c": 2}, "x", {"b": 3}]}
    assert list(every(body, "a[].b[*]")) == [("a[0].b[0]", 1), ("a[0].b[1]", None)]
    assert list(every(body, "a[3].b")) == [("a[3].b", 3)]
    assert list(every(body, "a.b")) == list(every(None, "a[]")) == []
