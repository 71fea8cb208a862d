"""A Novita that answers oddly where a test says so; everything else it passes on to the simulator."""

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .serving import serve_asgi


@dataclass(frozen=True)
class Reply:
    """One odd answer: its body, whole or in the pieces it is sent in."""

    body: bytes | list[bytes]
    kind: str = "application/json"
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """More of them; a name may stand twice."""

    def response(self) -> Response:
        if isinstance(self.body, bytes):
            whole = Response(self.body, self.status, media_type=self.kind)
            whole.raw_headers += [(name.lower().encode(), value.encode()) for name, value in self.headers]
            return whole

        async def pieces(parts: list[bytes] = self.body) -> AsyncGenerator[bytes]:
            for part in parts:
                yield part

        return StreamingResponse(pieces(), self.status, media_type=self.kind)


@dataclass
class OddNovita:
    """Where it is, and what it answers. Bodies of requests to planned paths are kept."""

    url: str = ""
    plans: dict[tuple[str, str], list[Reply]] = field(default_factory=dict[tuple[str, str], list[Reply]])
    received: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def plan(self, method: str, path: str, *replies: Reply) -> None:
        """Answer a path (its beginning, where it ends in *) with these, one after the other; then as the simulator."""
        self.plans.setdefault((method, path), []).extend(replies)

    def next_reply(self, method: str, path: str) -> Reply | None:
        for (verb, planned), replies in self.plans.items():
            fits = path.startswith(planned[:-1]) if planned.endswith("*") else path == planned
            if verb == method and fits and replies:
                return replies.pop(0)
        return None


@contextmanager
def serve_odd(simulator: str) -> Generator[OddNovita]:
    """Run until the block ends, before a simulator at this address."""
    odd = OddNovita()

    async def answer(request: Request) -> Response:
        body = await request.body()
        odd.received.append((request.url.path, body))
        planned = odd.next_reply(request.method, request.url.path)
        if planned is not None:
            return planned.response()
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            url = f"{simulator}{request.url.path}"
            passed = await http.request(
                request.method, url, params=str(request.query_params), content=body, headers=headers
            )
        dropped = ("content-length", "content-encoding", "transfer-encoding")
        kept = {name: value for name, value in passed.headers.items() if name not in dropped}
        return Response(passed.content, passed.status_code, kept)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    with serve_asgi(Starlette(routes=[Route("/{path:path}", answer, methods=methods)]), own_date=True) as url:
        odd.url = url
        yield odd
