"""A small client for sandboxes. It sends the routes and frames that the facts describe, without anybody's SDK."""

import base64
import json
import struct
from collections.abc import Generator
from typing import Any, cast

import httpx
from novita_mcp.simulator import World
from novita_mcp.simulator.core.world import DEFAULT_KEY

Json = dict[str, Any]
CODE = "code-interpreter-v1"


class Raw:
    """One account's calls."""

    def __init__(self, url: str, world: World, key: str = DEFAULT_KEY) -> None:
        self.world = world
        self.plane = httpx.Client(base_url=url, headers={"X-API-KEY": key}, timeout=120, verify=False)
        self.inside = httpx.Client(base_url=url, timeout=120, verify=False)

    def close(self) -> None:
        self.plane.close()
        self.inside.close()

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self.plane.request(method, path, json=body, params=query)

    def create(self, **body: Any) -> "Inside":
        answer = self.ask("POST", "/sandboxes", {"templateID": CODE, "timeout": 300, "secure": True, **body})
        assert answer.status_code == 201, answer.text
        return Inside(self, answer.json())

    def detail(self, sandbox: "Inside") -> Json:
        answer = self.ask("GET", f"/sandboxes/{sandbox.id}")
        assert answer.status_code == 200, answer.text
        return answer.json()


class Inside:
    """Calls into one sandbox, with its token."""

    def __init__(self, raw: Raw, made: Json) -> None:
        self.raw, self.made = raw, made
        self.id: str = made["sandboxID"]

    def headers(self, port: int = 49983) -> dict[str, str]:
        token = self.made.get("envdAccessToken")
        named = {"Novita-Sandbox-Id": self.id, "Novita-Sandbox-Port": str(port)}
        return named | ({"X-Access-Token": token} if token else {})

    def call(self, method: str, message: Json, **headers: str) -> httpx.Response:
        """A unary call: `process.Process/List`."""
        return self.raw.inside.post(f"/{method}", json=message, headers=self.headers() | headers)

    def stream(self, method: str, message: Json, **headers: str) -> Generator[Json]:
        """The messages of a server stream; the last is {"trailer": ...}. A cut raises RemoteProtocolError."""
        payload = json.dumps(message).encode()
        body = struct.pack(">BI", 0, len(payload)) + payload
        sent = self.headers() | {"Content-Type": "application/connect+json"} | headers
        with self.raw.inside.stream("POST", f"/{method}", content=body, headers=sent) as answer:
            assert answer.status_code == 200, answer.read()
            held = b""
            for piece in answer.iter_raw():
                held += piece
                while len(held) >= 5 and len(held) >= 5 + int.from_bytes(held[1:5], "big"):
                    size = int.from_bytes(held[1:5], "big")
                    found = json.loads(held[5 : 5 + size])
                    yield {"trailer": found} if held[0] & 2 else found
                    held = held[5 + size :]

    def start(self, command: str, *, stdin: bool = False, cwd: str = "", limit_ms: int = 0) -> Generator[Json]:
        process: Json = {"cmd": "/bin/bash", "args": ["-l", "-c", command]}
        if cwd:
            process["cwd"] = cwd
        headers = {"Connect-Timeout-Ms": str(limit_ms)} if limit_ms else {}
        return self.stream("process.Process/Start", {"process": process, "stdin": stdin}, **headers)

    def run(self, command: str) -> tuple[Json, str, str]:
        """(end event, stdout, stderr)."""
        end: Json = {}
        heard = {"stdout": b"", "stderr": b""}
        for message in self.start(command):
            event = message.get("event", {})
            for kind, data in event.get("data", {}).items():
                heard[kind] += base64.b64decode(data)
            end = event.get("end", message.get("trailer") or end)
        return end, heard["stdout"].decode("utf-8", "replace"), heard["stderr"].decode("utf-8", "replace")

    def file(self, path: str, **headers: str) -> httpx.Response:
        return self.raw.inside.get("/files", params={"path": path}, headers=self.headers() | headers)

    def write(self, path: str, data: bytes) -> httpx.Response:
        sent = self.headers() | {"Content-Type": "application/octet-stream"}
        return self.raw.inside.post("/files", params={"path": path}, content=data, headers=sent)

    def code(self, code: str, **body: Any) -> list[Json]:
        """The lines of one cell."""
        answer = self.raw.inside.post("/execute", json={"code": code, **body}, headers=self.headers(49999))
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def value(self, code: str) -> str:
        """The text of a cell's main result."""
        lines = self.code(code)
        assert not [line for line in lines if line["type"] == "error"], lines
        return next(line["text"] for line in lines if line["type"] == "result" and line["is_main_result"])

    def error(self, code: str) -> Json:
        return next(line for line in self.code(code) if line["type"] == "error")


def message_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, cast(Json, answer.json())["message"]
