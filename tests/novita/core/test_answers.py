"""Reading GPU answers: every spelling and type on record, of both generations, and what no answer may do."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novita_mcp.novita.core.answers import id_in, read_rows, read_shape
from novita_mcp.novita.core.errors import InputError, NovitaConnectionError
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
