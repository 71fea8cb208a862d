"""Searching and reading the web through Novita: Exa and Tavily, with the same key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from ..core.answers import a_list, a_number, a_text, an_object, error_words, objects
from ..core.client import LOOK_FIRST, NovitaClient
from ..core.errors import InputError, NovitaConnectionError, redact
from ..core.words import counted
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
    answer = await client.spend("POST", path, doing="searching the web", group="web", body=body)
    data = _results_of(answer.data)
    found = [
        Found(
            title=a_text(row.get("title")),
            url=row["url"],
            snippet=_snippet(row),
            published=_text(row.get("publishedDate")) or _text(row.get("published_date")),
            score=a_number(row.get("score")),
        )
        for row in objects(data.get("results"))
        if _text(row.get("url"))
    ]
    return found, _text(data.get("answer"))


def _snippet(row: Json) -> str:
    highlights = [one for one in a_list(row.get("highlights")) if isinstance(one, str) and one]
    if highlights:
        return " ... ".join(highlights)[:_SNIPPET]
    return next(filter(None, (a_text(row.get(name)) for name in ("content", "summary", "text"))), "")[:_SNIPPET]


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
        raise InputError(
            f"{counted(len(urls), 'address')} are too many for one call", next_step=f"Give at most {MOST_PAGES}."
        )
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
    answer = await client.spend("POST", path, doing="reading web pages", group="web", body=body)
    data = _results_of(answer.data)
    rows = {_address(row): row for row in objects(data.get("results"))}
    failed = {_address(row): row for row in objects(data.get("failed_results"))}
    pages: list[WebPage] = []
    for url in cast("list[str]", body["urls"]):
        named = next((name for name in (url, url.rstrip("/"), f"{url}/") if name in rows), None)
        if named is None:
            _, _, why = error_words(failed.get(url, {}))
            pages.append(WebPage(url, None, None, why or "it could not be fetched"))
        else:
            pages.append(_page(url, rows.pop(named)))
    # Pages asked for by option (Exa's ids and subpages), which have no place among the addresses.
    return [*pages, *(_page(name, row) for name, row in rows.items() if name)]


def _page(url: str, row: Json) -> WebPage:
    said = _text(row.get("text")) or _text(row.get("raw_content"))
    return WebPage(url, _text(row.get("title")), said, "" if said else "there is no text in it")


def _results_of(data: Any) -> Json:
    """An answer with results. Raises NovitaConnectionError for an error that comes with status 200, or nothing."""
    found = an_object(data)
    if not isinstance(found.get("results"), list):
        _, _, said = error_words(found)
        why = f"Novita answered with an error: {redact(said)[:400]}" if said else "Novita's answer has no results in it"
        raise NovitaConnectionError(why, billed="maybe", next_step=LOOK_FIRST)
    return found


def _address(row: Json) -> str:
    return a_text(row.get("url")) or a_text(row.get("id"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
