"""Web search and reading (Exa, Tavily) in an invented web, in which the address alone decides the text of a page.

The addresses that a search finds are under reserved example domains and contain the words of the query. So reading such
a page gives the text that the search showed. A host that ends in .invalid, and anything but http, cannot be fetched.
"""

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from zlib import crc32

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler
from ..core.json_values import obj
from ..core.relevance import relevance
from ..core.schema_values import UnsatisfiableSchemaError, value_for

Json = dict[str, Any]

_DOMAINS = ("www.example.com", "docs.example.org", "news.example.net", "blog.example.com", "wiki.example.org")
_AUTHORS = ("A. Writer", "B. Reader", "C. Editor", None)
_KINDS = ("guide", "overview", "notes", "comparison", "report", "history", "questions", "examples")
_LAST_DAY = datetime(2026, 8, 1, 9, 0, tzinfo=UTC)
_WORD = re.compile(r"[^\W_]+")
_EXA_MOST_CHARACTERS = 10_000
_SNIPPET = 300
_LINES = (
    "This page is about {topic}.",
    "People who ask about {word} as a rule want to know where it comes from.",
    "The short answer on {word} is that it depends on the case.",
    "Three things matter for {topic}: cost, time and {word}.",
    "A common mistake with {word} is to start before measuring.",
    "Sources differ on {word}, and the newer ones are more careful.",
    "For {topic} the usual advice is to begin small.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImaginedPage:
    """One invented page. `published` is in ISO 8601."""

    url: str
    title: str
    published: str
    author: str | None
    text: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def favicon(self) -> str:
        return f"https://{self.host}/favicon.ico"

    @property
    def image(self) -> str:
        return f"https://{self.host}/images/{crc32(self.url.encode()):08x}.jpg"


def read_page(url: str) -> ImaginedPage | None:
    """The page at an address, or None if it cannot be fetched."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.hostname.endswith(".invalid"):
        return None
    rng = random.Random(url)
    words = _WORD.findall(unquote(parts.path)) or _WORD.findall(parts.hostname)
    topic = " ".join(words)
    lines = [rng.choice(_LINES).format(topic=topic, word=rng.choice(words)) for _ in range(rng.randint(12, 40))]
    paragraphs = [" ".join(lines[at : at + 4]) for at in range(0, len(lines), 4)]
    published = _LAST_DAY - timedelta(days=rng.randint(0, 900))
    return ImaginedPage(
        url=url,
        title=topic.capitalize(),
        published=published.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        author=rng.choice(_AUTHORS),
        text="\n\n".join(paragraphs),
    )


def search_pages(query: str, number: int, only: list[str], never: list[str]) -> list[ImaginedPage]:
    """`number` pages for a query, the best first."""
    slug = "-".join(word.lower() for word in _WORD.findall(query)[:8]) or "page"
    domains = [domain for domain in only or _DOMAINS if not _within(domain, never)]
    found: list[ImaginedPage] = []
    for rank in range(number if domains else 0):
        kind = _KINDS[rank % len(_KINDS)]
        again = f"-{rank // len(_KINDS) + 1}" if rank >= len(_KINDS) else ""
        page = read_page(f"https://{domains[rank % len(domains)].strip('/')}/{slug}-{kind}{again}")
        if page is not None:
            found.append(page)
    return found


def _within(domain: str, domains: list[str]) -> bool:
    return any(domain == each or domain.endswith(f".{each}") for each in domains)


def _sub_pages(url: str, number: int) -> list[str]:
    base = url if url.endswith("/") else f"{url}/"
    return [urljoin(base, f"{kind}-{turn}" if turn else kind) for turn in range(20) for kind in _KINDS][:number]


def _structured(call: Call, schema: Json, hint: str) -> Any:
    try:
        return value_for(schema, hint=hint, rng=random.Random(hint))
    except UnsatisfiableSchemaError as error:
        raise call.invalid(f"outputSchema: {error}") from error


# Exa


async def exa_search(call: Call) -> Response:
    body = call.body
    first, last = body.get("startPublishedDate", ""), body.get("endPublishedDate", "~")
    pages = search_pages(
        body["query"], body.get("numResults", 10), body.get("includeDomains", []), body.get("excludeDomains", [])
    )
    pages = [page for page in pages if first <= page.published <= last]
    call.charge(note="exa search")
    results = [_exa_result(call, page, body.get("contents", {}), body["query"]) for page in pages]
    found: Json = {"requestId": call.world.new_id(), "results": results}
    if schema := body.get("outputSchema"):
        grounding = [{"field": "content", "citations": [{"url": page.url, "title": page.title} for page in pages[:3]]}]
        found["output"] = {"content": _structured(call, schema, body["query"]), "grounding": grounding}
    return answer(found)


async def exa_contents(call: Call) -> Response:
    body = call.body
    addresses: list[str] = body.get("urls") or body.get("ids") or []
    if not addresses:
        raise call.invalid("urls or ids is required")
    pages = {address: read_page(address) for address in addresses}
    call.charge(units=len(pages), note="exa contents")
    return answer(
        {
            "requestId": call.world.new_id(),
            "results": [_exa_result(call, page, body, page.title) for page in pages.values() if page is not None],
            "statuses": [
                {"id": address, "status": "error" if page is None else "success"} for address, page in pages.items()
            ],
        }
    )


async def exa_answer(call: Call) -> Response:
    query: str = call.body["query"]
    pages = search_pages(query, 5, [], [])
    call.charge(note="exa answer")
    options = {"text": True} if call.body.get("text") else {}
    if schema := call.body.get("outputSchema"):
        said: Any = _structured(call, schema, query)
    else:
        said = f"{_snippet(pages[0], query)} ({pages[0].url})"
    citations = [_exa_result(call, page, options, query) for page in pages]
    return answer({"requestId": call.world.new_id(), "answer": said, "citations": citations})


def _exa_result(call: Call, page: ImaginedPage, wanted: Json, query: str) -> Json:
    result: Json = {
        "id": page.url,
        "title": page.title,
        "url": page.url,
        "publishedDate": page.published,
        "author": page.author,
        "image": page.image,
        "favicon": page.favicon,
    }
    if text := wanted.get("text"):
        result["text"] = page.text[: _most_characters(text)]
    if highlights := wanted.get("highlights"):
        asked = str(obj(highlights).get("query", query))
        result["highlights"] = [_snippet(page, asked)[: _most_characters(highlights)]]
        result["highlightScores"] = relevance(asked, result["highlights"])
    if (summary := wanted.get("summary")) is not None:
        schema = summary.get("schema")
        result["summary"] = _structured(call, schema, page.text) if schema else _snippet(page, summary.get("query", ""))
    if extras := wanted.get("extras"):
        result["extras"] = {
            name: [f"{url}.jpg" if "image" in name.lower() else url for url in _sub_pages(page.url, number)]
            for name, number in extras.items()
        }
    if number := wanted.get("subpages"):
        below = (read_page(url) for url in _sub_pages(page.url, number))
        result["subpages"] = [{"id": each.url, "url": each.url, "title": each.title} for each in below if each]
    return result


def _most_characters(wanted: Any) -> int:
    return int(obj(wanted).get("maxCharacters", _EXA_MOST_CHARACTERS))


def _snippet(page: ImaginedPage, query: str) -> str:
    """The paragraph that answers the query best."""
    paragraphs = page.text.split("\n\n")
    scores = relevance(query, paragraphs)
    return paragraphs[scores.index(max(scores))]


# Tavily


async def tavily_search(call: Call) -> Response:
    body = call.body
    query: str = body["query"]
    pages = search_pages(
        query, body.get("max_results", 5), body.get("include_domains", []), body.get("exclude_domains", [])
    )
    first, last = body.get("start_date", ""), body.get("end_date", "~")
    pages = [page for page in pages if first <= page.published[:10] <= last]
    call.charge(note="tavily search")
    results: list[Json] = []
    for rank, page in enumerate(pages):
        result: Json = {
            "title": page.title,
            "url": page.url,
            "content": _snippet(page, query)[:_SNIPPET],
            "score": round(0.97 / (1 + 0.07 * rank), 5),
            "raw_content": page.text if body.get("include_raw_content") else None,
        }
        if body.get("include_favicon"):
            result["favicon"] = page.favicon
        results.append(result)
    return _tavily(
        call,
        {
            "query": query,
            "answer": _snippet(pages[0], query) if body.get("include_answer") and pages else None,
            "images": [page.image for page in pages] if body.get("include_images") else [],
            "results": results,
        },
    )


async def tavily_extract(call: Call) -> Response:
    given = call.body["urls"]
    urls: list[str] = [given] if isinstance(given, str) else given
    if not urls:
        raise call.invalid("urls must not be empty")
    pages = {url: read_page(url) for url in urls}
    call.charge(units=len(pages), note="tavily extract")
    return _tavily(
        call,
        {
            "results": [_tavily_page(page, call.body) for page in pages.values() if page is not None],
            "failed_results": [
                {"url": url, "error": "could not be fetched"} for url, page in pages.items() if page is None
            ],
        },
    )


async def tavily_crawl(call: Call) -> Response:
    urls = _site(call)
    pages = [page for url in urls if (page := read_page(url)) is not None]
    call.charge(units=len(pages), note="tavily crawl")
    results = [_tavily_page(page, call.body) for page in pages]
    return _tavily(call, {"base_url": call.body["url"], "results": results, "failed_results": []})


async def tavily_map(call: Call) -> Response:
    urls = _site(call)
    call.charge(note="tavily map")
    return _tavily(call, {"base_url": call.body["url"], "results": urls})


def _site(call: Call) -> list[str]:
    """The addresses of a site that fit the limits and patterns of the request."""
    body = call.body
    root: str = body["url"] if "://" in body["url"] else f"https://{body['url']}"
    if read_page(root) is None:
        raise call.invalid(f"url: {root} could not be fetched")
    urls = [root, *_sub_pages(root, min(body.get("max_breadth", 20), len(_KINDS)))]
    if body.get("max_depth", 1) > 1:
        urls += [deeper for url in urls[1:] for deeper in _sub_pages(url, 3)]
    keep = [_pattern(call, each) for each in body.get("select_paths", [])]
    drop = [_pattern(call, each) for each in body.get("exclude_paths", [])]
    paths = {url: urlsplit(url).path or "/" for url in urls}
    chosen = [url for url in urls if not keep or any(each.search(paths[url]) for each in keep)]
    return [url for url in chosen if not any(each.search(paths[url]) for each in drop)][: body.get("limit", 50)]


def _pattern(call: Call, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise call.invalid(f"{pattern!r} is no pattern: {error}") from error


def _tavily_page(page: ImaginedPage, body: Json) -> Json:
    heading = f"# {page.title}\n\n" if body.get("format", "markdown") == "markdown" else ""
    result: Json = {"url": page.url, "raw_content": heading + page.text}
    if body.get("include_images"):
        result["images"] = [page.image]
    if body.get("include_favicon"):
        result["favicon"] = page.favicon
    return result


def _tavily(call: Call, body: Json) -> Response:
    return answer({**body, "response_time": 0.42, "request_id": call.world.new_id(), "usage": None})


HANDLERS: dict[str, Handler] = {
    "exa_search": exa_search,
    "exa_contents": exa_contents,
    "exa_answer": exa_answer,
    "tavily_search": tavily_search,
    "tavily_extract": tavily_extract,
    "tavily_crawl": tavily_crawl,
    "tavily_map": tavily_map,
}
