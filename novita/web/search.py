"""Searching and reading the web through Novita: Exa and Tavily, with the same key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from ..core.client import NovitaClient
from ..core.errors import InputError, NovitaConnectionError
from ..files.links import parse_link
from ..text.request_checks import check_body, with_options

Json = dict[str, Any]
Provider = Literal["exa", "tavily"]

MOST_PAGES = 20
"""Addresses of one call; what they hold has to be read by somebody."""

_SNIPPET = 500


@dataclass(frozen=True)
class Found:
    """One page found, with the words that fit."""

    title: str
    url: str
    snippet: str
    published: str | None
    score: float | None


@dataclass(frozen=True)
class WebPage:
    """One page read; `text` is None where it could not be had, and `problem` says why."""

    url: str
    title: str | None
    text: str | None
    problem: str = ""


def search_request(
    provider: Provider,
    query: str,
    *,
    count: int,
    only: Sequence[str] = (),
    never: Sequence[str] = (),
    since: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[str, Json]:
    """Path and body of a search.

    Raises:
        InputError: The documented schema does not allow it.
    """
    if not query.strip():
        raise InputError("query is empty")
    if provider == "exa":
        body: Json = {"query": query, "numResults": count, "contents": {"highlights": {"maxCharacters": _SNIPPET}}}
        named = {"includeDomains": list(only), "excludeDomains": list(never), "startPublishedDate": since}
        path, route = "/v3/exa/search", "exa_search"
    else:
        body = {"query": query, "max_results": count}
        named = {"include_domains": list(only), "exclude_domains": list(never), "start_date": since}
        path, route = "/v3/tavily/search", "tavily_search"
    body |= {key: value for key, value in named.items() if value}
    body = with_options(cast(Any, route), body, options)
    check_body(cast(Any, route), body)
    return path, body


async def search(client: NovitaClient, path: str, body: Json) -> tuple[list[Found], str | None]:
    """The pages found, and the answer where one was asked for.

    Raises:
        NovitaError: The provider or Novita refused it.
    """
    data = _object((await client.spend("POST", path, doing="searching the web", group="llm", body=body)).data)
    found = [
        Found(
            title=str(row.get("title") or ""),
            url=str(row["url"]),
            snippet=_snippet(row),
            published=_text(row.get("publishedDate") or row.get("published_date")),
            score=row["score"] if isinstance(row.get("score"), int | float) else None,
        )
        for row in _results(data)
        if row.get("url")
    ]
    return found, _text(data.get("answer"))


def _snippet(row: Json) -> str:
    highlights: Any = row.get("highlights")
    if isinstance(highlights, list) and highlights:
        return " ... ".join(str(one) for one in cast("list[Any]", highlights))[:_SNIPPET]
    return str(row.get("content") or row.get("summary") or row.get("text") or "")[:_SNIPPET]


def read_request(
    provider: Provider, urls: Sequence[str], *, options: Mapping[str, Any] | None = None
) -> tuple[str, Json]:
    """Path and body of reading pages, each once.

    Raises:
        InputError: No addresses, too many, or one that is none.
    """
    if not urls:
        raise InputError("urls is empty")
    if len(urls) > MOST_PAGES:
        raise InputError(f"{len(urls)} addresses are too many for one call", next_step=f"Give at most {MOST_PAGES}.")
    for index, url in enumerate(urls):
        parse_link(url, f"urls[{index}]")
    once = list(dict.fromkeys(urls))
    if provider == "exa":
        body: Json = {"urls": once, "text": True}
        path, route = "/v3/exa/contents", "exa_contents"
    else:
        body = {"urls": once}
        path, route = "/v3/tavily/extract", "tavily_extract"
    body = with_options(cast(Any, route), body, options)
    check_body(cast(Any, route), body)
    return path, body


def pages_asked(body: Json) -> int:
    """How many pages a request to read names, with those that Exa adds by option: each may be paid for."""
    named = len(body["urls"]) + len(body.get("ids") or ())
    return named * (1 + (body.get("subpages") or 0))


async def read_pages(client: NovitaClient, path: str, body: Json) -> list[WebPage]:
    """The pages in the order asked for.

    Raises:
        NovitaError: The provider or Novita refused it.
    """
    data = _object((await client.spend("POST", path, doing="reading web pages", group="llm", body=body)).data)
    if "results" not in data:
        raise NovitaConnectionError("Novita's answer has no pages in it", billed="maybe")
    texts = {str(row.get("url") or row.get("id")): row for row in _results(data)}
    failed = {_failed_url(row): row for row in _objects(data.get("failed_results"))}
    pages: list[WebPage] = []
    for url in cast("list[str]", body["urls"]):
        row = texts.get(url) or texts.get(url.rstrip("/")) or texts.get(f"{url}/")
        if row is None:
            pages.append(WebPage(url, None, None, str(failed.get(url, {}).get("error") or "it could not be fetched")))
            continue
        pages.append(WebPage(url, _text(row.get("title")), _text(row.get("text") or row.get("raw_content")) or ""))
    return pages


def _failed_url(row: Json) -> str:
    return str(row.get("url") or row.get("id") or "")


def _object(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast(Json, one) for one in found if isinstance(one, dict)]


def _results(data: Json) -> list[Json]:
    return _objects(data.get("results"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
