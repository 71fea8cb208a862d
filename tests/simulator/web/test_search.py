"""Exa and Tavily over real HTTP: found pages can be read, filters hold, every call costs."""

from collections.abc import Iterator
from typing import Any

import pytest
from novita_mcp.simulator import World, serve

from ..sim_api import Api, Json


class Web(Api):
    """The search routes of one simulator. The fields of a body are arguments."""

    def post(self, operation: str, **body: Any) -> Json:
        return self.good(operation, body)

    def refusal(self, operation: str, **body: Any) -> str:
        status, reason, message = self.refused(operation, body)
        assert (status, reason) == (400, "INVALID_REQUEST_BODY")
        return message


@pytest.fixture
def web(world: World) -> Iterator[Web]:
    with serve(world) as running:
        found = Web(running.url, world)
        yield found
        found.close()


def test_a_page_found_by_exa_reads_the_same_when_fetched_by_its_address(web: Web) -> None:
    found = web.post("exa_search", query="red foxes in winter", numResults=3, contents={"text": True})["results"]
    assert len({page["url"] for page in found}) == 3
    read = web.post("exa_contents", urls=[page["url"] for page in found], text=True)
    assert [page["text"] for page in read["results"]] == [page["text"] for page in found]
    extracted = web.post("tavily_extract", urls=found[0]["url"], format="text")["results"][0]
    assert extracted["raw_content"] == found[0]["text"]


def test_exa_gives_only_what_was_asked_for(web: Web) -> None:
    plain = web.post("exa_search", query="foxes", numResults=1)["results"][0]
    assert not {"text", "highlights", "summary", "extras", "subpages"} & plain.keys()
    contents: Json = {
        "text": {"maxCharacters": 40},
        "highlights": {"query": "winter"},
        "summary": {},
        "extras": {"links": 2},
        "subpages": 1,
    }
    full = web.post("exa_search", query="foxes", numResults=1, contents=contents)["results"][0]
    assert len(full["text"]) == 40
    assert len(full["extras"]["links"]) == 2
    assert full["highlights"][0] in web.post("exa_contents", ids=[full["id"]], text=True)["results"][0]["text"]
    assert {"summary", "subpages"} <= full.keys()


def test_domains_are_kept_to_and_kept_out(web: Web) -> None:
    only = web.post("exa_search", query="foxes", includeDomains=["zoo.example.org"])["results"]
    assert all(page["url"].startswith("https://zoo.example.org/") for page in only)
    never = web.post("tavily_search", query="foxes", max_results=20, exclude_domains=["example.com"])["results"]
    assert len(never) == 20
    assert not any("example.com/" in page["url"] for page in never)


def test_publication_dates_bound_a_search(web: Web) -> None:
    pages = web.post("exa_search", query="foxes", numResults=30, startPublishedDate="2025-08-01")["results"]
    assert 0 < len(pages) < 30
    assert all(page["publishedDate"] >= "2025-08-01" for page in pages)


def test_what_cannot_be_fetched_is_reported_apart(web: Web) -> None:
    urls = ["https://www.example.com/a", "https://nowhere.invalid/b"]
    exa = web.post("exa_contents", urls=urls, text=True)
    assert [status["status"] for status in exa["statuses"]] == ["success", "error"]
    assert len(exa["results"]) == 1
    tavily = web.post("tavily_extract", urls=urls)
    assert [failed["url"] for failed in tavily["failed_results"]] == urls[1:]
    assert "url" in web.refusal("tavily_map", url="https://nowhere.invalid")
    assert "urls or ids" in web.refusal("exa_contents", text=True)


def test_an_answer_cites_its_pages_or_keeps_to_a_schema(web: Web) -> None:
    plain = web.post("exa_answer", query="Where do foxes sleep?", text=True)
    assert plain["citations"][0]["url"] in plain["answer"]
    assert plain["citations"][0]["text"]
    schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
    assert web.post("exa_answer", query="Where do foxes sleep?", outputSchema=schema)["answer"]["place"]
    searched = web.post("exa_search", query="Where do foxes sleep?", outputSchema=schema)
    assert searched["output"]["content"]["place"]
    assert "outputSchema" in web.refusal("exa_answer", query="x", outputSchema={"type": "nothing"})


def test_tavily_ranks_and_answers(web: Web) -> None:
    found = web.post("tavily_search", query="foxes", include_answer=True, include_raw_content=True)
    scores = [page["score"] for page in found["results"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    assert found["answer"] in found["results"][0]["raw_content"]
    assert web.post("tavily_search", query="foxes")["answer"] is None


def test_a_site_is_mapped_and_crawled_by_the_same_rules(web: Web) -> None:
    rules: Json = {"url": "https://www.example.com/foxes", "max_depth": 2, "limit": 9, "exclude_paths": ["history"]}
    mapped = web.post("tavily_map", **rules)["results"]
    crawled = web.post("tavily_crawl", **rules)["results"]
    assert mapped == [page["url"] for page in crawled]
    assert len(mapped) == 9
    assert not any("history" in url for url in mapped)
    assert "no pattern" in web.refusal("tavily_map", url="https://www.example.com", select_paths=["("])


def test_every_call_costs_and_none_is_free_without_credit(web: Web) -> None:
    web.post("exa_search", query="foxes")
    web.post("tavily_search", query="foxes")
    assert [charge.operation for charge in web.world.charges] == ["exa_search", "tavily_search"]
    assert web.world.balance_usd() == pytest.approx(100 - 2 * web.world.settings.unlisted_price_usd)
    web.world.add_account("sk-simulated", 0)
    response = web.http.post("/v3/tavily/search", json={"query": "foxes"})
    assert (response.status_code, response.json()["reason"]) == (403, "NOT_ENOUGH_BALANCE")
