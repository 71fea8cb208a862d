"""Every operation of gpu.yaml and serverless.yaml is answered as documented, once each at least."""

from collections.abc import Iterator

import pytest
from novita_mcp.simulator.core.facts import operations

from ..gpu_client import BOOT, RTX_4090, Gpu, Json, endpoint, opened, order, v2_order


@pytest.fixture(params=["page", "seen"])
def gpu(request: pytest.FixtureRequest) -> Iterator[Gpu]:
    with opened() as client:
        client.world.add_account("sk-simulated", 2000)
        client.state.dialect = request.param
        yield client


def first_generation(gpu: Gpu) -> None:
    gpu.good("list_clusters")
    gpu.good("list_gpu_products")
    gpu.good("list_cpu_products")
    gpu.good("get_gpu_template", templateId="tpl-pytorch-271")
    template = {"name": "t", "type": "instance", "channel": "private", "image": "a/b", "rootfsSize": 60}
    id = gpu.good("create_gpu_template", {"template": template})["templateId"]
    gpu.good("update_gpu_template", {"template": {**template, "Id": id}})
    gpu.good("list_gpu_templates")
    gpu.good("delete_gpu_template", {"templateId": id})

    gpu.good("create_network_storage", {"clusterId": "us-ca-06", "storageName": "s", "storageSize": 10})
    volume = gpu.good("list_network_storages")["data"][0]["storageId"]
    gpu.good("update_network_storage", {"storageId": volume, "storageName": "s", "storageSize": 20})
    gpu.good("create_vpc_network", {"clusterId": "us-ca-06", "name": "n"})
    networks = gpu.good("list_vpc_networks")
    network = (networks.get("network") or networks["networks"])[0]["Id"]
    gpu.good("get_vpc_network", networkId=network)
    gpu.good("update_vpc_network", {"networkId": network, "name": "m"})
    gpu.good("create_registry_auth", {"name": "r", "username": "u", "password": "p"})
    login = gpu.good("list_registry_auths")["data"][0]["id"]
    gpu.good("get_image_prewarm_quota")
    task = gpu.good("create_image_prewarm", {"imageUrl": "a/b", "clusterId": "us-ca-06"})["id"]
    gpu.good("list_image_prewarm")
    gpu.good("update_image_prewarm", {"id": task, "note": "x"})
    gpu.good("delete_image_prewarm", {"ids": [task]})

    gpu.world.advance(100)
    mount = {"networkStorages": [{"Id": volume}], "networkId": network, "imageAuthId": login}
    id = gpu.good("create_gpu_instance", order(**mount))["id"]
    gpu.world.advance(BOOT)
    gpu.good("list_gpu_instances")
    gpu.good("get_gpu_instance", instanceId=id)
    gpu.good("get_gpu_instance_metrics", instanceId=id)
    named = {"instanceId": id}
    gpu.good("edit_gpu_instance", {**named, "expandRootDisk": 1})
    gpu.good("set_gpu_instance_auto_migrate", {**named, "autoMigrateOpen": True})
    for verb in ("restart", "migrate", "stop", "start", "stop"):
        gpu.good(f"{verb}_gpu_instance", named)
        gpu.world.advance(BOOT)
    job = gpu.good("save_gpu_instance_image", {**named, "image": "r.example/a:1"})["jobId"]
    gpu.good("list_gpu_jobs")
    gpu.good("break_gpu_job", {"jobId": job})
    upgrade: Json = {**named, "imageUrl": "a/c", "envs": [], "command": "", "entrypoint": "", "save": False}
    gpu.good("upgrade_gpu_instance", {**upgrade, "networkVolume": {"volumeMounts": []}})
    gpu.world.advance(BOOT)
    gpu.good("delete_gpu_instance", named)
    gpu.world.advance(BOOT)
    gpu.good("delete_network_storage", {"storageId": volume})
    gpu.good("delete_vpc_network", {"networkId": network})
    gpu.good("delete_registry_auth", {"id": login})
    id = gpu.running()
    gpu.good("change_gpu_instance_billing", {"instanceId": id, "month": 1})
    gpu.good("renew_gpu_instance", {"instanceId": id, "month": 1})
    gpu.good("set_gpu_instance_auto_renew", {"instanceIds": [id], "autoRenew": True, "autoRenewMonth": 1})


def second_generation(gpu: Gpu) -> None:
    gpu.good("gpus_v2_list_regions")
    gpu.good("gpus_v2_list_products", type="gpu", category="instance")
    id = gpu.good("gpus_v2_create_template", {"name": "t", "type": "instance", "image": "a/b"})["template_id"]
    gpu.good("gpus_v2_list_templates")
    gpu.good("gpus_v2_get_template", template_id=id)
    gpu.good("gpus_v2_update_template", {"name": "u", "image": "a/b"}, template_id=id)
    gpu.good("gpus_v2_delete_template", template_id=id)
    network = gpu.good("gpus_v2_create_network", {"region_id": "us-ca-06", "name": "n"})["id"]
    gpu.good("gpus_v2_list_networks")
    gpu.good("gpus_v2_get_network", network_id=network)
    gpu.good("gpus_v2_update_network", {"name": "m"}, network_id=network)
    gpu.good("gpus_v2_delete_network", network_id=network)
    task = gpu.good("gpus_v2_create_image_prewarm", {"image": "a/b", "region_id": "us-ca-06"})["task_id"]
    gpu.good("gpus_v2_list_image_prewarm")
    gpu.good("gpus_v2_get_image_prewarm", task_id=task)
    gpu.good("gpus_v2_delete_image_prewarm", {"task_ids": [task]})

    tools = {"jupyter": {"enabled": True, "port": 8888, "protocol": "http"}}
    id = gpu.good("gpus_v2_create_instance", v2_order(tools=tools, ports=[{"port": 80, "protocol": "http"}]))["id"]
    gpu.world.advance(BOOT)
    gpu.good("gpus_v2_list_instances", status="running")
    shown = gpu.good("gpus_v2_get_instance", instance_id=id)
    assert shown["tools"]["jupyter"]["endpoint"].startswith(gpu.url)
    gpu.good("gpus_v2_update_ports", {"ports": [{"port": 81, "protocol": "tcp"}]}, instance_id=id)
    gpu.good("gpus_v2_expand_rootfs", {"rootfs_size_expand_gb": 5}, instance_id=id)
    gpu.good("gpus_v2_set_web_terminal", {"enable": False}, instance_id=id)
    gpu.good("gpus_v2_set_auto_migrate", {"auto_migrate": {"enabled": True}}, instance_id=id)
    shown = gpu.good("get_gpu_instance", instanceId=id)
    assert [port["port"] for port in shown["portMappings"]] == [81]
    assert (shown["rootfsSize"], shown["connectComponentWebTerminal"]["isRunning"]) == (65, False)
    gpu.good("gpus_v2_restart_instance", instance_id=id)
    gpu.world.advance(BOOT)
    assert gpu.refused("gpus_v2_migrate_instance", {"save_data": True}, instance_id=id) == (400, "REQUEST")
    gpu.good("gpus_v2_migrate_instance", {}, instance_id=id)
    gpu.world.advance(BOOT)
    gpu.good("gpus_v2_stop_instance", instance_id=id)
    gpu.world.advance(BOOT)
    gpu.good("gpus_v2_start_instance", instance_id=id)
    gpu.world.advance(BOOT)
    gpu.good("gpus_v2_upgrade_instance", {"image": "a/c"}, instance_id=id)
    gpu.world.advance(BOOT)
    gpu.good("gpus_v2_change_billing_mode", {"type": "prepaid", "months": 1}, instance_id=id)
    gpu.good("gpus_v2_renew_instance", {"months": 1}, instance_id=id)
    gpu.good("gpus_v2_set_auto_renew", {"auto_renew": {"enabled": True, "months": 1}}, instance_id=id)
    assert gpu.good("get_gpu_instance", instanceId=id)["billingMode"] == "monthly"
    gpu.good("gpus_v2_change_billing_mode", {"type": "postpaid"}, instance_id=id)
    gpu.good("gpus_v2_stop_instance", instance_id=id)
    gpu.world.advance(BOOT)
    job = gpu.good("gpus_v2_save_image", {"instance_id": id, "image": "r.example/a:1"})["id"]
    gpu.good("gpus_v2_list_jobs")
    gpu.good("gpus_v2_get_job", job_id=job)
    gpu.world.advance(BOOT)
    gpu.good("gpus_v2_delete_image", image_id=gpu.good("gpus_v2_list_images")["data"][0]["id"])
    job = gpu.good("gpus_v2_save_image", {"instance_id": id, "image": "r.example/a:2"})["id"]
    gpu.good("gpus_v2_stop_job", job_id=job)
    gpu.good("gpus_v2_delete_instance", instance_id=id)


def serverless(gpu: Gpu) -> None:
    gpu.good("get_serverless_endpoint_limits")
    id = gpu.good("create_serverless_endpoint", {"endpoint": endpoint(workers={"minNum": 1})})["id"]
    gpu.world.advance(BOOT)
    gpu.good("list_serverless_endpoints")
    shown = gpu.good("get_serverless_endpoint", id=id)["endpoint"]
    gpu.good("drain_serverless_worker", {"workerID": shown["workers"][0]["id"], "drain": True})
    wanted = {name: value for name, value in endpoint().items() if name not in ("products", "rootfsSize")}
    gpu.good("update_serverless_endpoint", {"id": id, **wanted})
    gpu.good("delete_serverless_endpoint", {"name": id})

    plan = {"type": "async", "name": "jobs", "product_id": RTX_4090, "image": "a/b", "app_name": "jobs"}
    id = gpu.good("gpus_v2_create_endpoint", {**plan, "worker_config": {"max_replicas": 2}})["id"]
    gpu.good("gpus_v2_list_endpoints", keyword="jobs")
    gpu.good("gpus_v2_get_endpoint", endpoint_id=id)
    gpu.good("gpus_v2_update_endpoint", {"name": "more jobs"}, endpoint_id=id)
    name = {"endpoint_name": f"{id}-jobs"}
    job = gpu.good("run_async_job", {"input": {}}, **name)["id"]
    gpu.good("get_async_job_status", job_id=job, **name)
    gpu.good("cancel_async_job", job_id=job, **name)
    gpu.good("get_async_endpoint_health", **name)
    gpu.good("get_async_endpoint_stats", **name)
    gpu.good("purge_async_queue", **name)
    gpu.good("gpus_v2_delete_endpoint", endpoint_id=id)


def test_every_operation_is_answered_as_documented(gpu: Gpu) -> None:
    first_generation(gpu)
    second_generation(gpu)
    serverless(gpu)
    documented = {each.id for each in operations().values() if each.area in ("gpu", "serverless")}
    assert len(documented) == 100
    gpu.spent()  # an answer is counted just after it was sent; the next one on the connection comes later
    # Calling an endpoint's own service needs a clock that runs: serverless/test_calls.py.
    assert documented - set(gpu.world.counters["accepted"]) == {"invoke_sync_endpoint"}
