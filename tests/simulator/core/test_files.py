"""The file host: signed links, ranges, expiry, and keys that a client should not have sent."""

import pytest

from ..sim_api import Api


@pytest.fixture
def link(api: Api) -> str:
    return api.good("seedream_3_0_txt2img", {"prompt": "x", "size": "512x512"})["image_urls"][0]


def test_a_link_needs_no_key_and_a_key_that_comes_is_counted(api: Api, link: str) -> None:
    assert api.bare.get(link).status_code == 200
    assert api.world.leaked_keys == 0
    assert api.http.get(link).status_code == 200
    assert api.world.leaked_keys == 1


def test_length_and_type_are_true_and_the_bytes_the_same_each_time(api: Api, link: str) -> None:
    first, second, head = api.bare.get(link), api.bare.get(link), api.bare.head(link)
    assert first.content == second.content
    assert int(head.headers["content-length"]) == len(first.content)
    assert head.content == b""
    assert first.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("wanted", "start", "end"), [("bytes=0-99", 0, 100), ("bytes=100-", 100, None), ("bytes=-50", -50, None)]
)
def test_a_range_gives_that_part(api: Api, link: str, wanted: str, start: int, end: int | None) -> None:
    whole = api.bare.get(link).content
    part = api.bare.get(link, headers={"Range": wanted})
    assert part.status_code == 206
    assert part.content == whole[start:end]
    first = start % len(whole)
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.content) - 1}/{len(whole)}"


def test_a_range_that_is_none_is_overlooked(api: Api, link: str) -> None:
    for wanted in ("bytes=a-b", "bytes=-", "pages=1-2"):
        assert api.bare.get(link, headers={"Range": wanted}).status_code == 200


def test_a_range_behind_the_end_is_refused(api: Api, link: str) -> None:
    size = len(api.bare.get(link).content)
    answer = api.bare.get(link, headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_an_expired_link_answers_like_an_object_store(api: Api, link: str) -> None:
    api.world.advance(api.world.settings.link_ttl + 1)
    answer = api.bare.get(link)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/xml"
    assert "<Code>AccessDenied</Code>" in answer.text


def test_a_changed_link_does_not_work(api: Api, link: str) -> None:
    longer = link.replace("X-Expires=", "X-Expires=9")
    assert api.bare.get(longer).status_code == 403
    assert api.bare.get(link.split("?")[0]).status_code == 403
    assert api.bare.get(link.replace("/files/", "/files/0")).status_code == 404


def test_a_new_look_at_a_task_renews_its_links(api: Api) -> None:
    result = api.finished("z_image_turbo", {"prompt": "x"})
    api.world.advance(api.world.settings.link_ttl + 1)
    assert api.bare.get(result["images"][0]["image_url"]).status_code == 403
    again = api.good("get_task_result", task_id=result["task"]["task_id"])
    assert api.pictures(again)[0].size == (1024, 1024)
