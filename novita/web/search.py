"""Searching and reading the web through Novita: Exa and Tavily, with the same key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core.answers import Number, Plain, Shape, Words, a_text, an_object, error_words, objects, read_rows
from ..core.client import LOOK_FIRST, NovitaClient
from ..core.errors import InputError, NovitaConnectionError, redact
from ..core.json_text import Json
from ..core.words import counted
from ..files.links import parse_link
from ..text.request_checks import Route, check_body, with_options

Provider = Literal["exa", "tavily"]

MOST_PAGES = 20
"""The most addresses of one call, because a model has to read what they hold."""

_SNIPPET = 500


@dataclass(frozen=True)
class Found:
    """One page that was found, with the passage that fits the query."""

    title: str
    url: str
    snippet: str
    published: str | None
    score: float | None


@dataclass(frozen=True)
class WebPage:
    """One page that was read. If its text could not be read, `text` is None and `problem` says why."""

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
    route: Route
    if provider == "exa":
        body: Json = {"query": query, "numResults": count, "contents": {"highlights": {"maxCharacters": _SNIPPET}}}
        named = {"includeDomains": list(only), "excludeDomains": list(never), "startPublishedDate": since}
        path, route = "/v3/exa/search", "exa_search"
    else:
        body = {"query": query, "max_results": count}
        named = {"include_domains": list(only), "exclude_domains": list(never), "start_date": since}
        path, route = "/v3/tavily/search", "tavily_search"
    body |= {key: value for key, value in named.items() if value}
    body = with_options(route, body, options)
    check_body(route, body)
    return path, body


async def search(client: NovitaClient, path: str, body: Json) -> tuple[list[Found], str | None]:
    """The pages found, and the answer where one was asked for.

    Raises:
        NovitaError: The provider or Novita refused it.
    """
    answer = await client.spend("POST", path, doing="searching the web", group="web", body=body)
    data = _results_of(answer.data)
    rows = read_rows(_WebRow, data, "searching the web", "results")
    found = [
        Found(row.title, row.url, row.snippet, _told(row.published_date), row.score) for row in rows if _told(row.url)
    ]
    return found, _told(a_text(data.get("answer")))


class _WebRow(Shape):
    """A page in an answer of Exa or Tavily."""

    url: Plain = ""
    id: Plain = ""
    title: Plain = ""
    published_date: Plain = ""
    score: Number = None
    highlights: Words = ()
    content: Plain = ""
    summary: Plain = ""
    text: Plain = ""
    raw_content: Plain = ""

    @property
    def address(self) -> str:
        return self.url or self.id

    @property
    def snippet(self) -> str:
        said = " ... ".join(filter(None, self.highlights)) or self.content or self.summary or self.text
        return said[:_SNIPPET]

    def page(self, url: str) -> WebPage:
        """The page that was asked for at this address."""
        said = _told(self.text) or _told(self.raw_content)
        return WebPage(url, _told(self.title), said, "" if said else "there is no text in it")


def read_request(
    provider: Provider, urls: Sequence[str], *, options: Mapping[str, Any] | None = None
) -> tuple[str, Json]:
    """Path and body of a request that reads pages, each once.

    Raises:
        InputError: There are no addresses or too many, or one is not an address.
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
    route: Route
    if provider == "exa":
        body: Json = {"urls": once, "text": True}
        path, route = "/v3/exa/contents", "exa_contents"
    else:
        body = {"urls": once}
        path, route = "/v3/tavily/extract", "tavily_extract"
    body = with_options(route, body, options)
    check_body(route, body)
    return path, body


def pages_asked(body: Json) -> int:
    """How many pages a request may read, with those that Exa adds by option. Each may be billed."""
    named = len(body["urls"]) + len(body.get("ids") or ())
    return named * (1 + (body.get("subpages") or 0))


async def read_pages(client: NovitaClient, path: str, body: Json) -> list[WebPage]:
    """The pages in the order asked for.

    Raises:
        NovitaError: The provider or Novita refused it.
    """
    doing = "reading web pages"
    answer = await client.spend("POST", path, doing=doing, group="web", body=body)
    data = _results_of(answer.data)
    rows = {row.address: row for row in read_rows(_WebRow, data, doing, "results")}
    failed = {_WebRow.model_validate(row).address: row for row in objects(data.get("failed_results"))}
    pages: list[WebPage] = []
    urls: list[str] = body["urls"]
    for url in urls:
        named = next((name for name in (url, url.rstrip("/"), f"{url}/") if name in rows), None)
        if named is None:
            _, _, why = error_words(failed.get(url, {}))
            pages.append(WebPage(url, None, None, why or "it could not be fetched"))
        else:
            pages.append(rows.pop(named).page(url))
    # Pages that were asked for by option (Exa's ids and subpages) are not among the addresses.
    return [*pages, *(row.page(name) for name, row in rows.items() if name)]


def _results_of(data: Any) -> Json:
    """The answer, if it has results. Raises NovitaConnectionError if it is an error with status 200, or empty."""
    found = an_object(data)
    if not isinstance(found.get("results"), list):
        _, _, said = error_words(found)
        why = f"Novita answered with an error: {redact(said)[:400]}" if said else "Novita's answer has no results in it"
        raise NovitaConnectionError(why, billed="maybe", next_step=LOOK_FIRST)
    return found


def _told(text: str) -> str | None:
    return text if text.strip() else None
