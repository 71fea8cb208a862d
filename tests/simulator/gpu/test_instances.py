"""Instances: states over the clock, money by the second, stock, and every documented refusal."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ..gpu_client import BOOT, H100, RTX_4090, Gpu, Json, opened, order


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with opened() as client:
        yield client


def walk(gpu: Gpu, id: str, seconds: int, step: int = 5) -> list[str]:
    """The states seen while the clock moves, each once."""
    seen = [gpu.status(id)]
    for _ in range(seconds // step):
        gpu.world.advance(step)
        if (now := gpu.status(id)) != seen[-1]:
            seen.append(now)
    return seen


def test_an_instance_boots_through_the_documented_states(gpu: Gpu) -> None:
    assert walk(gpu, gpu.create(), BOOT) == ["toCreate", "creating", "pulling", "running"]


def test_stop_start_restart_upgrade_and_migrate_go_through_theirs(gpu: Gpu) -> None:
    id = gpu.running()
    assert gpu.good("stop_gpu_instance", {"instanceId": id}) == {"instanceId": id, "state": "toStop"}
    assert walk(gpu, id, 60) == ["toStop", "stopping", "exited"]
    gpu.good("start_gpu_instance", {"instanceId": id})
    assert walk(gpu, id, 60) == ["toStart", "starting", "running"]
    gpu.good("restart_gpu_instance", {"instanceId": id})
    assert walk(gpu, id, 80) == ["toRestart", "restarting", "running"]
    upgrade: Json = {"imageUrl": "a/c:2", "envs": [], "command": "", "entrypoint": "", "save": True}
    gpu.good("upgrade_gpu_instance", {"instanceId": id, **upgrade, "networkVolume": {"volumeMounts": []}})
    assert walk(gpu, id, 120) == ["toReset", "resetting", "pulling", "running"]
    assert gpu.good("get_gpu_instance", instanceId=id)["imageUrl"] == "a/c:2"
    gpu.good("migrate_gpu_instance", {"instanceId": id})
    assert walk(gpu, id, 120) == ["migrating", "running"]


def test_a_deleted_instance_is_removed_and_then_not_found(gpu: Gpu) -> None:
    id = gpu.running()
    gpu.good("delete_gpu_instance", {"instanceId": id})
    assert gpu.status(id) == "toRemove"
    gpu.world.advance(50)
    assert gpu.refused("get_gpu_instance", instanceId=id) == (400, "RESOURCE_NOT_FOUND")
    assert gpu.refused("gpus_v2_get_instance", instance_id=id) == (404, "RESOURCE_NOT_FOUND")
    assert gpu.good("list_gpu_instances")["instances"] == []
    assert [each["id"] for each in gpu.good("list_gpu_instances", status="removed")["instances"]] == [id]


def test_in_a_manual_world_each_look_shows_the_next_state() -> None:
    with opened() as gpu:
        gpu.world.set(manual=True)
        id = gpu.create()
        assert [gpu.status(id) for _ in range(5)] == ["toCreate", "creating", "pulling", "running", "running"]
        gpu.good("stop_gpu_instance", {"instanceId": id})
        looks = [gpu.good("list_gpu_instances")["instances"][0]["status"] for _ in range(3)]
        assert looks == ["toStop", "stopping", "exited"]


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "migrate"])
def test_what_does_not_fit_the_state_is_a_conflict(gpu: Gpu, verb: str) -> None:
    id = gpu.create()  # still toCreate: nothing of this fits
    assert gpu.refused(f"{verb}_gpu_instance", {"instanceId": id}) == (400, "CONFLICT")


def test_an_hour_of_two_cards_costs_two_hourly_prices_to_the_micro_dollar(gpu: Gpu) -> None:
    """raw price 35000 = 0.35 USD; billed from pulling (100 s before running)."""
    gpu.running(gpuNum=2)
    gpu.world.advance(3600 - 100)
    assert gpu.spent() == 700_000
    gpu.world.advance(1)
    assert gpu.spent() == 700_000 + 2 * 350_000 // 3600


def test_looking_often_costs_the_same_as_looking_once(gpu: Gpu) -> None:
    gpu.running()
    for _ in range(350):
        gpu.world.advance(10)
        gpu.spent()
    assert gpu.spent() == 350_000


def test_a_bill_has_one_line_per_instance_and_hour(gpu: Gpu) -> None:
    id = gpu.running()
    for _ in range(60):
        gpu.world.advance(120)
        gpu.spent()
    lines = [charge for charge in gpu.world.charges if charge.ref == id]
    assert len(lines) in (3, 4)
    assert sum(line.micro_usd for line in lines) == 350_000 * 7300 // 3600


def test_nothing_is_billed_before_the_pull_or_after_the_stop(gpu: Gpu) -> None:
    id = gpu.create()
    gpu.world.advance(50)
    assert gpu.spent() == 0
    gpu.world.advance(100)
    gpu.good("stop_gpu_instance", {"instanceId": id})
    gpu.world.advance(50)
    spent = gpu.spent()
    gpu.world.advance(86_400)
    assert gpu.status(id) == "exited"
    assert gpu.spent() == spent == 350_000 * 150 // 3600


def test_root_disk_above_sixty_gb_costs_by_the_day(gpu: Gpu) -> None:
    id = gpu.running(rootfsSize=160)
    gpu.good("stop_gpu_instance", {"instanceId": id})
    gpu.world.advance(50)
    before = gpu.spent()
    gpu.world.advance(86_400)
    assert gpu.spent() - before == pytest.approx(100 * 5_000, abs=1)


def test_a_subscription_is_paid_at_once_and_not_by_the_second(gpu: Gpu) -> None:
    gpu.world.add_account("sk-simulated", 1000)
    id = gpu.create(month=1)
    assert gpu.world.accounts["sk-simulated"].micro_usd == 1_000_000_000 - 226_800_000
    gpu.world.advance(7200)
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert (shown["billingMode"], int(shown["endTime"]) > 0) == ("monthly", True)
    assert gpu.world.accounts["sk-simulated"].micro_usd == 1_000_000_000 - 226_800_000
    assert gpu.refused("delete_gpu_instance", {"instanceId": id}) == (400, "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE")


def test_the_bills_name_what_was_used_and_terms_stand_on_their_own(gpu: Gpu) -> None:
    """query_usage_based_billing, query_fixed_term_billing: ownerID is the resource; storage is a category."""
    gpu.world.add_account("sk-simulated", 1000)
    volume = gpu.good("create_network_storage", {"clusterId": "us-ca-06", "storageName": "v", "storageSize": 100})
    hourly, monthly = gpu.running(rootfsSize=160), gpu.create(month=1)
    gpu.world.advance(7200)
    gpu.good("renew_gpu_instance", {"instanceId": monthly, "month": 2})
    span = {"startTime": int(gpu.world.started), "endTime": int(gpu.world.clock.now()) + 1}

    def used(category: str) -> dict[str, int]:
        lines = gpu.good("query_usage_based_billing", cycleType="Month", productCategory=category, **span)["bills"]
        mine = [line for line in lines if not line["ownerID"].startswith("past")]
        return {id: sum(int(line["amount"]) for line in mine if line["ownerID"] == id) for id in owners(mine)}

    def owners(lines: list[Json]) -> set[str]:
        return {line["ownerID"] for line in lines}

    gpu.spent()  # settles
    charged = [charge for charge in gpu.world.charges if charge.ref == hourly]
    assert {charge.note.split()[0] for charge in charged} == {"RTX", "disk"}
    assert used("gpu") == {hourly: pytest.approx(sum(charge.micro_usd for charge in charged) / 100, abs=2)}
    assert used("cloud_storage").keys() == {volume}
    terms = gpu.good("query_fixed_term_billing", category="gpu", **span)["bills"]
    assert [(line["ownerID"], line["tradeType"], line["billNum"]) for line in terms] == [
        (monthly, "monthly_new_buy", "1"),
        (monthly, "monthly_re_buy", "2"),
    ]
    assert sum(int(line["amount"]) for line in terms) == sum(
        charge.micro_usd // 100 for charge in gpu.world.charges if charge.months
    )


def test_a_subscription_can_be_renewed_renews_itself_or_ends(gpu: Gpu) -> None:
    gpu.world.add_account("sk-simulated", 1000)
    id = gpu.running(month=1)
    end = int(gpu.good("get_gpu_instance", instanceId=id)["endTime"])
    gpu.good("renew_gpu_instance", {"instanceId": id, "month": 1})
    assert int(gpu.good("get_gpu_instance", instanceId=id)["endTime"]) == end + 30 * 86_400
    gpu.good("set_gpu_instance_auto_renew", {"instanceIds": [id], "autoRenew": True, "autoRenewMonth": 1})
    gpu.world.advance(61 * 86_400)
    assert gpu.status(id) == "running"
    gpu.good("set_gpu_instance_auto_renew", {"instanceIds": [id], "autoRenew": False})
    gpu.world.advance(31 * 86_400)
    gpu.status(id)
    gpu.world.advance(60)
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert (shown["status"], shown["statusError"]["state"]) == ("exited", "EXPIRED_OR_BALANCE_NOT_ENOUGH")


def test_an_instance_stops_when_the_balance_is_used_up_and_never_overdraws(gpu: Gpu) -> None:
    gpu.world.add_account("sk-simulated", 0.5)
    id = gpu.running()
    gpu.world.advance(2 * 3600)
    gpu.status(id)
    gpu.world.advance(60)
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert (shown["status"], shown["statusError"]["state"]) == ("exited", "EXPIRED_OR_BALANCE_NOT_ENOUGH")
    assert gpu.world.accounts["sk-simulated"].micro_usd == 0
    assert gpu.refused("start_gpu_instance", {"instanceId": id}) == (400, "BALANCE_NOT_ENOUGH")


def test_an_account_that_cannot_pay_the_first_hour_gets_nothing(gpu: Gpu) -> None:
    gpu.world.add_account("sk-simulated", 0.34)
    assert gpu.refused("create_gpu_instance", order()) == (400, "BALANCE_NOT_ENOUGH")
    assert gpu.refused("create_gpu_instance", order(month=1)) == (400, "BALANCE_NOT_ENOUGH")


def test_stock_runs_out_and_comes_back_when_an_instance_is_deleted(gpu: Gpu) -> None:
    ids = [gpu.create(gpuNum=4, clusterId="us-ca-06") for _ in range(2)]
    assert gpu.refused("create_gpu_instance", order(gpuNum=4, clusterId="us-ca-06")) == (400, "INSUFFICIENT_RESOURCE")
    assert gpu.good("list_gpu_products", clusterId="us-ca-06", gpuNum=4, productName="4090")["data"] == []
    gpu.good("delete_gpu_instance", {"instanceId": ids[0]})
    gpu.world.advance(50)
    gpu.create(gpuNum=4, clusterId="us-ca-06")


def test_a_stopped_instance_gives_its_cards_back_and_may_not_get_them_again(gpu: Gpu) -> None:
    id = gpu.running(gpuNum=8, clusterId="us-ca-06")
    gpu.good("stop_gpu_instance", {"instanceId": id})
    gpu.world.advance(50)
    gpu.create(gpuNum=8, clusterId="us-ca-06")
    assert gpu.refused("start_gpu_instance", {"instanceId": id}) == (400, "INSUFFICIENT_RESOURCE")


def test_an_instance_goes_where_there_is_room(gpu: Gpu) -> None:
    first = gpu.create(productId=H100, gpuNum=8)
    second = gpu.create(productId=H100, gpuNum=8)
    where = {gpu.good("get_gpu_instance", instanceId=id)["clusterId"] for id in (first, second)}
    assert where == {"us-tx-02", "as-sgp-02"}
    assert gpu.refused("create_gpu_instance", order(productId=H100)) == (400, "INSUFFICIENT_RESOURCE")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"productId": "nothing"}, "RESOURCE_NOT_FOUND"),
        ({"productId": "h200.24c240g"}, "INSUFFICIENT_RESOURCE"),
        ({"clusterId": "nowhere"}, "VALIDATOR_PARAM"),
        ({"gpuNum": 9}, "VALIDATOR_PARAM"),
        ({"rootfsSize": 5}, "VALIDATOR_PARAM"),
        ({"rootfsSize": 5000}, "VALIDATOR_PARAM"),
        ({"ports": "80"}, "VALIDATOR_PARAM"),
        ({"ports": "2222/tcp"}, "VALIDATOR_PARAM"),
        ({"ports": "70000/tcp"}, "VALIDATOR_PARAM"),
        ({"ports": "80/udp"}, "VALIDATOR_PARAM"),
        ({"ports": ",".join(f"{n}/tcp" for n in range(100, 116))}, "VALIDATOR_PARAM"),
        ({"ports": "8888/http", "tools": [{"name": "Jupyter", "port": "8888", "type": "http"}]}, "VALIDATOR_PARAM"),
        ({"minCudaVersion": "13.5"}, "INSUFFICIENT_RESOURCE"),
        ({"minCudaVersion": "new"}, "VALIDATOR_PARAM"),
        ({"imageAuthId": "ra-unknown"}, "RESOURCE_NOT_FOUND"),
        ({"networkId": "vpc-unknown"}, "NETWORK_NOT_FOUND"),
        ({"networkStorages": [{"Id": "ns-unknown"}]}, "NETWORK_STORAGE_NOT_FOUND"),
        ({"autoRenew": True}, "VALIDATOR_PARAM"),
        ({"productId": "6000ada.15c60g", "billingMode": "spot"}, "UNSUPPORTED_BILLING_MODE"),
        ({"unknown": 1}, "VALIDATOR_PARAM"),
    ],
)
def test_a_wrong_order_is_refused_by_name_and_costs_nothing(gpu: Gpu, changes: dict[str, Any], name: str) -> None:
    assert gpu.refused("create_gpu_instance", order(**changes)) == (400, name)
    assert gpu.good("list_gpu_instances")["total"] == 0
    assert gpu.spent() == 0


def test_the_number_of_instances_is_limited(gpu: Gpu) -> None:
    gpu.state.fleet.limit = 1
    gpu.create()
    assert gpu.refused("create_gpu_instance", order()) == (400, "CREATE_INSTANCE_LIMIT")


def test_an_image_nobody_has_ends_as_exited_with_the_reason(gpu: Gpu) -> None:
    id = gpu.create(imageUrl="registry.invalid/a:1")
    gpu.world.advance(BOOT)
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert (shown["status"], shown["statusError"]["state"]) == ("exited", "IMAGE_NOT_FOUND")


def test_the_worlds_knobs_fail_a_boot_or_keep_it_pulling(gpu: Gpu) -> None:
    gpu.world.fail_next_task("disk is full")
    failed = gpu.create()
    gpu.world.never_end_next_task()
    stuck = gpu.create()
    gpu.world.advance(BOOT * 100)
    shown = gpu.good("get_gpu_instance", instanceId=failed)
    assert (shown["status"], shown["statusError"]["message"]) == ("exited", "disk is full")
    assert gpu.status(stuck) == "pulling"


def test_spot_is_cheaper_and_can_be_taken_back(gpu: Gpu) -> None:
    id = gpu.running(billingMode="spot")
    gpu.world.advance(3500)
    assert gpu.spent() == 175_000
    gpu.http.post("/_simulator/gpu", json={"reclaim": id, "in_seconds": 100}).raise_for_status()
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert (shown["status"], shown["spotStatus"]) == ("running", "notified")
    assert int(shown["spotReclaimTime"]) == int(gpu.world.clock.now()) + 100
    gpu.world.advance(100)
    assert gpu.good("get_gpu_instance", instanceId=id)["spotStatus"] == "reclaiming"
    gpu.world.advance(50)
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert (shown["status"], shown["spotStatus"]) == ("exited", "terminated")
    gpu.good("migrate_gpu_instance", {"instanceId": id})
    gpu.world.advance(100)
    assert gpu.good("get_gpu_instance", instanceId=id)["spotStatus"] == "running"


def test_a_reclaimed_spot_instance_with_auto_migration_moves_by_itself(gpu: Gpu) -> None:
    id = gpu.running(billingMode="spot")
    gpu.good("set_gpu_instance_auto_migrate", {"instanceId": id, "autoMigrateOpen": True})
    gpu.state.fleet.reclaim(id)
    gpu.status(id)
    gpu.world.advance(50)
    assert gpu.status(id) == "migrating"
    assert gpu.good("list_gpu_jobs")["jobs"][0]["type"] == "autoInstanceMigrate"
    gpu.world.advance(100)
    assert gpu.status(id) == "running"


def test_a_stopped_instance_is_forgotten_after_seven_days(gpu: Gpu) -> None:
    id = gpu.running()
    gpu.good("stop_gpu_instance", {"instanceId": id})
    gpu.world.advance(50)
    gpu.world.advance(7 * 86_400 - 1)
    assert gpu.status(id) == "exited"
    gpu.world.advance(1)
    assert gpu.refused("get_gpu_instance", instanceId=id) == (400, "RESOURCE_NOT_FOUND")


def test_passwords_are_in_the_full_record_and_in_no_list(gpu: Gpu) -> None:
    tool = {"name": "Jupyter", "port": "8888", "type": "http"}
    id = gpu.running(ports="80/http,22/tcp", tools=[tool])
    shown = gpu.good("get_gpu_instance", instanceId=id)
    ssh, jupyter = shown["connectComponentSSH"], shown["connectComponentJupyter"]
    assert ssh["sshCommand"].startswith("ssh root@")
    assert ssh["isRunning"] and jupyter["isRunning"] and jupyter["port"] == "8888"
    again = gpu.good("gpus_v2_get_instance", instance_id=id)["tools"]["ssh"]
    assert (again["command"], again["password"]) == (ssh["sshCommand"], ssh["password"])
    for listing in ("list_gpu_instances", "gpus_v2_list_instances"):
        assert ssh["password"] not in gpu.ask(listing).text


def test_an_open_http_port_answers_on_the_simulator_while_the_instance_runs(gpu: Gpu) -> None:
    id = gpu.create(ports="80/http")
    mapping = gpu.good("get_gpu_instance", instanceId=id)["portMappings"][0]
    assert mapping == {"port": 80, "endpoint": "", "type": "http"}
    gpu.world.advance(BOOT)
    address = gpu.good("get_gpu_instance", instanceId=id)["portMappings"][0]["endpoint"]
    assert address.startswith(gpu.url)
    assert gpu.http.post(f"{address}/hello", content="hi").json()["body"] == "hi"
    gpu.good("stop_gpu_instance", {"instanceId": id})
    assert gpu.http.get(address).status_code == 502


def test_edit_replaces_the_ports_and_grows_the_disk(gpu: Gpu) -> None:
    id = gpu.running(ports="80/http")
    gpu.good("edit_gpu_instance", {"instanceId": id, "ports": [{"port": 81, "type": "tcp"}], "expandRootDisk": 40})
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert [port["port"] for port in shown["portMappings"]] == [81]
    assert shown["rootfsSize"] == 100
    assert gpu.refused("edit_gpu_instance", {"instanceId": id, "expandRootDisk": 9999}) == (400, "VALIDATOR_PARAM")


def test_numbers_come_as_text_and_empty_lists_as_null(gpu: Gpu) -> None:
    gpu.create(gpuNum=2)
    shown = gpu.good("list_gpu_instances")["instances"][0]
    assert (shown["gpuNum"], shown["cpuNum"], shown["memory"]) == ("2", "36", "200")
    assert (shown["envs"], shown["volumeMounts"]) == (None, None)
    assert (shown["endTime"], shown["spotStatus"]) == ("-1", "")


def test_a_cpu_instance_has_its_own_body_and_products(gpu: Gpu) -> None:
    body = {"productId": "cpu.4c8g", "imageUrl": "a/b", "kind": "cpu"}
    id = gpu.good("create_gpu_instance", body)["id"]
    gpu.world.advance(BOOT)
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert (shown["kind"], shown["gpuNum"], shown["volumeMounts"][0]["type"]) == ("cpu", "0", "local")
    assert gpu.refused("create_gpu_instance", {**body, "productId": RTX_4090}) == (400, "RESOURCE_NOT_FOUND")


def test_metrics_lag_a_minute_and_refuse_an_impossible_window(gpu: Gpu) -> None:
    id = gpu.running()
    gpu.world.advance(600)
    now = int(gpu.world.clock.now())
    points = gpu.good("get_gpu_instance_metrics", instanceId=id, startTime=now - 300, endTime=now)
    times = [int(point["timestamp"]) for point in points["cpuUtilization"]]
    assert times[0] == now - 300
    assert now - 75 < times[-1] <= now - 60
    assert len(points["gpuUtilization"]["gpuIds"]) == 1
    for wrong in ({"startTime": now - 10}, {"endTime": now + 99}, {"interval": 5}):
        assert gpu.refused("get_gpu_instance_metrics", instanceId=id, **wrong) == (400, "VALIDATOR_PARAM")
    other = gpu.http.get("/gpu-instance/openapi/v1/instance/metrics", params={"instance_id": id})
    assert other.status_code == 200


def test_another_account_sees_and_touches_nothing(gpu: Gpu) -> None:
    id = gpu.running()
    gpu.world.add_account("sk-other")
    other = Gpu(gpu.url, gpu.world, "sk-other")
    assert other.good("list_gpu_instances") == {"instances": [], "total": 0}
    assert other.refused("delete_gpu_instance", {"instanceId": id}) == (400, "RESOURCE_NOT_FOUND")
    other.close()


def test_an_answer_lost_after_the_create_leaves_the_instance(gpu: Gpu) -> None:
    gpu.world.trouble({"reset": "after"}, operation="create_gpu_instance")
    with pytest.raises(httpx.TransportError):
        gpu.create()
    assert gpu.good("list_gpu_instances")["total"] == 1
