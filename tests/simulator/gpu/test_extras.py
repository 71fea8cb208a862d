"""What surrounds instances: templates, volumes, networks, logins, jobs, saved images, prewarm."""

from collections.abc import Iterator

import pytest

from ..gpu_client import BOOT, RTX_4090, Gpu, Json, opened, order


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with opened() as client:
        yield client


@pytest.fixture
def other(gpu: Gpu) -> Iterator[Gpu]:
    gpu.world.add_account("sk-other")
    client = Gpu(gpu.url, gpu.world, "sk-other")
    yield client
    client.close()


TEMPLATE: Json = {
    "name": "mine",
    "type": "instance",
    "channel": "private",
    "image": "a/b:1",
    "rootfsSize": 60,
    "ports": [{"type": "http", "ports": [80, 81]}],
    "envs": [{"key": "A", "value": "1"}],
}


def test_a_template_lives_in_both_generations(gpu: Gpu) -> None:
    id = gpu.good("create_gpu_template", {"template": TEMPLATE})["templateId"]
    again = gpu.good("gpus_v2_get_template", template_id=id)
    assert (again["image"], again["rootfs_size_gb"]) == ("a/b:1", 60)
    assert again["ports"] == [{"port": 80, "protocol": "http"}, {"port": 81, "protocol": "http"}]
    gpu.good("gpus_v2_update_template", {"name": "new", "type": "instance", "image": "a/c"}, template_id=id)
    shown = gpu.good("get_gpu_template", templateId=id)["template"]
    assert (shown["name"], shown["image"], shown["ports"]) == ("new", "a/c", [])
    gpu.good("delete_gpu_template", {"templateId": id})
    assert gpu.refused("get_gpu_template", templateId=id) == (400, "TEMPLATE_NOT_FOUND")
    assert gpu.ask("get_gpu_template", templateId=id).json()["message"] == "template not fount"
    assert gpu.refused("gpus_v2_get_template", template_id=id) == (404, "TEMPLATE_NOT_FOUND")


def test_private_templates_are_private(gpu: Gpu, other: Gpu) -> None:
    id = gpu.good("create_gpu_template", {"template": TEMPLATE})["templateId"]
    assert other.refused("get_gpu_template", templateId=id) == (400, "TEMPLATE_IS_PRIVATE")
    assert other.good("list_gpu_templates", channel="private")["template"] is None
    official = other.good("list_gpu_templates", channel="official", isMyCommunity=False)
    assert {each["channel"] for each in official["template"]} == {"official"}
    assert (
        other.refused("delete_gpu_template", {"templateId": official["template"][0]["Id"]})[1] == "TEMPLATE_NOT_FOUND"
    )


def test_a_volume_is_mounted_in_its_cluster_only_and_cannot_go_while_used(gpu: Gpu) -> None:
    volume = {"clusterId": "us-ca-06", "storageName": "data", "storageSize": 100}
    id = gpu.good("create_network_storage", volume)
    assert isinstance(id, str)
    mount = {"networkStorages": [{"Id": id, "mountPoint": "/data"}]}
    assert gpu.refused("create_gpu_instance", order(clusterId="eu-fr-01", **mount)) == (400, "VALIDATOR_PARAM")
    box = gpu.create(**mount)
    shown = gpu.good("get_gpu_instance", instanceId=box)
    assert (shown["clusterId"], shown["volumeMounts"][0]["size"]) == ("us-ca-06", 100)
    assert gpu.good("list_gpu_instances")["instances"][0]["volumeMounts"][0]["size"] == "100"
    assert gpu.refused("delete_network_storage", {"storageId": id}) == (400, "NETWORK_STORAGE_IN_USE")
    gpu.good("delete_gpu_instance", {"instanceId": box})
    gpu.world.advance(50)
    gpu.good("delete_network_storage", {"storageId": id})
    assert gpu.good("list_network_storages")["data"] == []


def test_a_volume_is_also_deleted_by_the_name_one_client_has_for_its_id(gpu: Gpu) -> None:
    volume = {"clusterId": "us-ca-06", "storageName": "data", "storageSize": 10}
    gpu.good("delete_network_storage", {"id": gpu.good("create_network_storage", volume)})
    assert gpu.good("list_network_storages")["data"] == []
    assert gpu.refused("delete_network_storage", {}) == (400, "VALIDATOR_PARAM")


def test_a_volume_grows_costs_by_the_day_and_needs_a_cluster_that_has_them(gpu: Gpu) -> None:
    volume = {"clusterId": "us-ca-06", "storageName": "data", "storageSize": 100}
    id = gpu.good("create_network_storage", volume)
    gpu.world.advance(86_400)
    assert gpu.spent() == 100 * 2_000
    grown = {"storageId": id, "storageName": "data", "storageSize": "200"}
    gpu.good("update_network_storage", grown)
    gpu.world.advance(86_400)
    assert gpu.spent() == 300 * 2_000
    assert gpu.refused("update_network_storage", {**grown, "storageSize": 50}) == (400, "VALIDATOR_PARAM")
    no_storage = {**volume, "clusterId": "eu-fr-01"}
    assert gpu.refused("create_network_storage", no_storage) == (400, "CUR_CLUSTER_NETWORK_STORAGE_NOT_SUPPORT")
    too_large = {**volume, "storageSize": 10**6}
    assert gpu.refused("create_network_storage", too_large) == (400, "NETWORK_STORAGE_TOO_LARGE")


def test_a_network_is_joined_when_ready_and_cannot_go_while_used(gpu: Gpu) -> None:
    id = gpu.good("create_vpc_network", {"clusterId": "us-ca-06", "name": "lan"})["network"][0]["Id"]
    assert gpu.refused("create_gpu_instance", order(networkId=id)) == (400, "DEPENDENT_RESOURCE_STATE")
    gpu.world.advance(50)
    box = gpu.create(networkId=id)
    shown = gpu.good("get_vpc_network", networkId=id)["network"][0]
    assert shown["state"] == [{"state": "ready", "error": ""}]
    assert shown["Addresses"] == [{"Id": box, "Ip": gpu.good("get_gpu_instance", instanceId=box)["network"]["ip"]}]
    assert gpu.refused("delete_vpc_network", {"networkId": id}) == (400, "NETWORK_IN_USE")
    gpu.good("delete_gpu_instance", {"instanceId": box})
    gpu.world.advance(50)
    gpu.good("delete_vpc_network", {"networkId": id})
    assert gpu.refused("get_vpc_network", networkId=id) == (400, "NETWORK_NOT_FOUND")
    assert gpu.refused("create_vpc_network", {"clusterId": "us-tx-02"}) == (400, "VALIDATOR_PARAM")


def test_the_number_of_networks_is_limited(gpu: Gpu) -> None:
    gpu.state.networks.limit = 1
    gpu.good("create_vpc_network", {"clusterId": "us-ca-06"})
    assert gpu.refused("create_vpc_network", {"clusterId": "us-ca-06"}) == (400, "NETWORK_MAX_LIMIT")


def test_networks_come_under_either_name(gpu: Gpu) -> None:
    gpu.good("create_vpc_network", {"clusterId": "us-ca-06", "name": "lan"})
    page = gpu.good("list_vpc_networks")
    assert (page.keys(), page["total"]) == ({"network", "total"}, "1")
    gpu.state.dialect = "seen"
    page = gpu.good("list_vpc_networks")
    assert (page.keys(), page["total"]) == ({"networks", "total"}, 1)
    assert page["networks"][0]["state"] == {"state": "creating", "error": ""}


def test_a_registry_login_in_use_stays(gpu: Gpu) -> None:
    assert gpu.good("create_registry_auth", {"name": "ghcr.io", "username": "u", "password": "secret"}) == {}
    [login] = gpu.good("list_registry_auths")["data"]
    assert login["password"] == "secret"
    box = gpu.create(imageAuthId=login["id"])
    assert gpu.refused("delete_registry_auth", {"id": login["id"]}) == (400, "IMAGE_AUTH_IN_USE")
    gpu.good("delete_gpu_instance", {"instanceId": box})
    gpu.world.advance(50)
    gpu.good("delete_registry_auth", {"id": login["id"]})
    assert gpu.good("list_registry_auths")["data"] == []


def test_saving_an_image_wants_a_stopped_instance_and_takes_a_job(gpu: Gpu) -> None:
    box = gpu.running()
    wanted = {"instanceId": box, "image": "registry.example:5000/me/box:v1"}
    assert gpu.refused("save_gpu_instance_image", wanted) == (400, "CONFLICT")
    gpu.good("stop_gpu_instance", {"instanceId": box})
    gpu.world.advance(50)
    job = gpu.good("save_gpu_instance_image", wanted)["jobId"]
    assert gpu.good("get_gpu_instance", instanceId=box)["jobs"] == [{"id": job, "type": "saveImage"}]
    states: list[str] = []
    for _ in range(11):
        states.append(gpu.good("list_gpu_jobs", jobId=job)["jobs"][0]["state"]["state"])
        gpu.world.advance(10)
    assert list(dict.fromkeys(states)) == ["pulling", "running", "success"]
    [image] = gpu.good("gpus_v2_list_images")["data"]
    assert image["tags"] == [{"tag": "v1", "image": "registry.example:5000/me/box:v1"}]
    gpu.good("gpus_v2_delete_image", image_id=image["id"])
    assert gpu.refused("gpus_v2_delete_image", image_id=image["id"]) == (404, "IMAGE_NOT_FOUND")


def test_a_job_can_be_broken_or_fail(gpu: Gpu) -> None:
    box = gpu.running()
    gpu.good("stop_gpu_instance", {"instanceId": box})
    gpu.world.advance(50)
    wanted = {"instance_id": box, "image": "r.example/a:1"}
    job = gpu.good("gpus_v2_save_image", wanted)["id"]
    assert gpu.good("break_gpu_job", {"jobId": job}) == {"jobId": job}
    assert gpu.good("list_gpu_jobs", state="break")["total"] == 1
    assert gpu.refused("gpus_v2_stop_job", job_id=job) == (400, "CONFLICT")
    assert gpu.refused("break_gpu_job", {"jobId": "no"}) == (400, "JOB_NOT_FOUND")
    gpu.world.fail_next_task("registry refused")
    job = gpu.good("gpus_v2_save_image", wanted)["id"]
    gpu.world.advance(100)
    assert gpu.good("gpus_v2_get_job", job_id=job)["state"]["message"] == "registry refused"
    assert gpu.good("gpus_v2_list_images")["data"] == []


def test_a_prewarmed_image_boots_faster(gpu: Gpu) -> None:
    task = gpu.good("create_image_prewarm", {"imageUrl": "docker.io/a/b:1", "clusterId": "us-ca-06"})["id"]
    assert gpu.good("get_image_prewarm_quota") == {"total": 1, "limit": 5, "perImageSize": 100}
    gpu.world.advance(120)
    [shown] = gpu.good("list_image_prewarm", state="Succeeded")["data"]
    assert (shown["id"], int(shown["imageSize"]) > 0) == (task, True)
    assert gpu.good("gpus_v2_get_image_prewarm", task_id=task)["status"] == "succeeded"
    box = gpu.create(clusterId="us-ca-06")
    gpu.world.advance(BOOT // 2)
    assert gpu.status(box) == "running"


def test_prewarm_has_a_quota_and_says_why_it_failed(gpu: Gpu) -> None:
    bad = gpu.good("gpus_v2_create_image_prewarm", {"image": "x.invalid/a", "region_id": "us-ca-06"})["task_id"]
    gpu.world.advance(120)
    [shown] = gpu.good("list_image_prewarm", state="Failed")["data"]
    assert "no such host" in shown["reason"][0]
    wanted = {"imageUrl": "a/b", "clusterId": "us-ca-06", "productIds": [RTX_4090]}
    ids = [gpu.good("create_image_prewarm", wanted)["id"] for _ in range(4)]
    assert gpu.refused("create_image_prewarm", wanted) == (400, "OPERATION_LIMIT")
    gpu.good("update_image_prewarm", {"id": ids[0], "note": "mine"})
    assert gpu.good("list_image_prewarm", pageSize=1, page=4)["data"][0]["note"] == "mine"
    gpu.good("gpus_v2_delete_image_prewarm", {"task_ids": [bad, *ids[:3]]})
    gpu.good("delete_image_prewarm", {"ids": ids[3:]})
    assert gpu.good("get_image_prewarm_quota")["total"] == 0


def test_nothing_of_one_account_is_seen_by_another(gpu: Gpu, other: Gpu) -> None:
    gpu.good("create_network_storage", {"clusterId": "us-ca-06", "storageName": "d", "storageSize": 10})
    gpu.good("create_vpc_network", {"clusterId": "us-ca-06"})
    gpu.good("create_registry_auth", {"name": "r", "username": "u", "password": "p"})
    gpu.good("create_image_prewarm", {"imageUrl": "a/b", "clusterId": "us-ca-06"})
    assert other.good("list_network_storages")["total"] == 0
    assert other.good("list_vpc_networks")["total"] == "0"
    assert other.good("list_registry_auths")["data"] == []
    assert other.good("list_image_prewarm")["total"] == 0
