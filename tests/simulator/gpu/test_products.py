"""Products, clusters and prices of both generations, drawn from one stock."""

from collections.abc import Iterator
from typing import Any

import pytest

from ..gpu_client import H100, RTX_4090, Gpu, Json, opened, order


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with opened() as client:
        yield client


def product(gpu: Gpu, id: str, **query: Any) -> Json:
    return next(each for each in gpu.good("list_gpu_products", **query)["data"] if each["id"] == id)


def v2_product(gpu: Gpu, id: str, category: str = "instance") -> Json:
    found = gpu.good("gpus_v2_list_products", type="gpu", category=category)["data"]
    return next(each for each in found if each["id"] == id)


def test_both_generations_name_the_same_price_in_their_own_units(gpu: Gpu) -> None:
    for shown in gpu.good("list_gpu_products")["data"]:
        pricing = v2_product(gpu, shown["id"])["pricing"]
        assert pricing["postpaid"]["final_price"] / 10 ** pricing["precision"] == shown["price"] / 100_000
        spot = int(shown.get("spotPrice", "0"))
        assert (pricing["spot"] is None) == (spot == 0)


def test_the_price_of_a_day_is_what_the_list_says(gpu: Gpu) -> None:
    for shown in gpu.good("list_gpu_products", gpuNum=1)["data"]:
        before = gpu.spent()
        id = gpu.running(productId=shown["id"])
        gpu.world.advance(3600 - 100)
        assert gpu.spent() - before == shown["price"] * 10
        gpu.good("delete_gpu_instance", {"instanceId": id})


def test_a_spot_price_is_text_zero_or_absent(gpu: Gpu) -> None:
    assert product(gpu, RTX_4090)["spotPrice"] == "17500"
    assert product(gpu, "6000ada.15c60g")["spotPrice"] == "0"
    assert "spotPrice" not in product(gpu, "l40s.24c96g")


def test_stock_falls_with_every_instance_in_both_generations(gpu: Gpu) -> None:
    assert product(gpu, "a100.22c120g")["inventoryState"] == "high"
    gpu.create(productId="a100.22c120g", gpuNum=7)
    assert product(gpu, "a100.22c120g")["inventoryState"] == "low"
    assert v2_product(gpu, "a100.22c120g")["resource_spec"]["gpu"]["available"] == 1
    gpu.create(productId="a100.22c120g")
    shown = product(gpu, "a100.22c120g")
    assert (shown["availableDeploy"], shown["inventoryState"]) == (False, "none")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"productName": "4090"}, {"RTX 4090 24GB"}),
        ({"productName": "rtx 24gb"}, {"RTX 3090 24GB", "RTX 4090 24GB"}),
        ({"clusterId": "eu-fr-01"}, {"RTX 3090 24GB", "RTX 4090 24GB", "L40S 48GB"}),
        ({"gpuNum": 8, "billingMethod": "spot"}, {"RTX 4090 24GB", "A100 SXM 80GB", "H100 SXM 80GB"}),
        ({"minMemoryPerGpu": 240}, {"H100 SXM 80GB", "H200 SXM 141GB"}),
        ({"minRootFSSize": 3000}, {"H100 SXM 80GB", "H200 SXM 141GB"}),
        ({"productName": "none such"}, set[str]()),
    ],
)
def test_filters(gpu: Gpu, query: Json, names: set[str]) -> None:
    assert {each["name"] for each in gpu.good("list_gpu_products", **query)["data"]} == names


def test_regions_are_names_and_none_means_everywhere(gpu: Gpu) -> None:
    assert product(gpu, RTX_4090)["regions"] == []
    assert product(gpu, "a100.22c120g")["regions"] == ["US-CA-06 (California)"]


def test_what_clients_meet_differs_from_the_page_where_recorded(gpu: Gpu) -> None:
    assert product(gpu, RTX_4090)["cpuPerGpu"] == 18
    gpu.http.post("/_simulator/gpu", json={"dialect": "seen"}).raise_for_status()
    assert product(gpu, RTX_4090)["cpuPerGpu"] == "18"
    assert gpu.http.post("/_simulator/gpu", json={"dialect": "klingon"}).status_code == 400


def test_v2_pages_by_cursor(gpu: Gpu) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = gpu.good("gpus_v2_list_products", type="gpu", category="instance", limit=3, **cursor)
        seen += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == 8
    assert page["next_cursor"] == ""
    wrong = gpu.refused("gpus_v2_list_products", type="gpu", category="instance", cursor="%%")
    assert wrong == (400, "VALIDATOR_PARAM")
    assert gpu.refused("gpus_v2_list_products", type="gpu") == (400, "VALIDATOR_PARAM")


def test_v1_pages_start_at_one_unless_told_otherwise(gpu: Gpu) -> None:
    for n in range(3):
        gpu.create(name=f"n{n}")

    def names(page: int) -> list[str]:
        return [each["name"] for each in gpu.good("list_gpu_instances", pageSize=2, pageNum=page)["instances"]]

    assert [names(0), names(1), names(2), names(3)] == [["n2", "n1"], ["n2", "n1"], ["n0"], []]
    gpu.state.first_page = 0
    assert [names(0), names(1), names(2)] == [["n2", "n1"], ["n0"], []]


def test_serverless_products_are_some_of_them_at_their_own_price(gpu: Gpu) -> None:
    found = gpu.good("gpus_v2_list_products", type="gpu", category="serverless")["data"]
    assert {RTX_4090, H100} < {each["id"] for each in found} < set(gpu.state.stock.size)
    assert v2_product(gpu, RTX_4090, "serverless")["pricing"]["spot"] is None


def test_clusters_and_regions_say_the_same(gpu: Gpu) -> None:
    regions = {each["id"]: each for each in gpu.good("gpus_v2_list_regions")["data"]}
    for cluster in gpu.good("list_clusters")["data"]:
        region = regions[cluster["id"]]
        assert region["gpus"] == cluster["availableGpuType"]
        assert region["feature"]["network_volume"] == cluster["supportNetworkStorage"]


def test_without_a_key_the_gpu_routes_answer_401(gpu: Gpu) -> None:
    stranger = Gpu(gpu.url, gpu.world, "sk-wrong")
    assert stranger.refused("gpus_v2_list_products", type="gpu", category="instance") == (401, "UNAUTHORIZED")
    assert stranger.refused("create_gpu_instance", order()) == (401, "UNAUTHORIZED")
    stranger.close()
