"""A small client that checks every answer of the simulator against the documented schema, and pictures to send."""

import base64
import io
from typing import Any

import httpx
from novita_mcp.simulator import World
from novita_mcp.simulator.core.facts import answer_problems, operations
from novita_mcp.simulator.core.world import DEFAULT_KEY
from PIL import Image, ImageDraw

Json = dict[str, Any]


class Api:
    """Calls to one simulator by operationId."""

    def __init__(self, url: str, world: World, key: str = DEFAULT_KEY) -> None:
        self.url, self.world = url, world
        # verify=False: no certificates to load for plain HTTP, a third of the time of a short test.
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, verify=False)
        self.bare = httpx.Client(timeout=30, verify=False)

    def ask(self, operation: str, body: Any = None, /, *, path: str | None = None, **query: Any) -> httpx.Response:
        """The raw answer. Path parameters are taken from `query`."""
        found = operations()[operation]
        target = path or found.path.format(**query)
        rest = {name: value for name, value in query.items() if f"{{{name}}}" not in found.path}
        return self.http.request(found.method, target, json=body, params=rest)

    def good(self, operation: str, body: Any = None, /, *, path: str | None = None, **query: Any) -> Json:
        """The answer, which must have status 200 and be as documented."""
        response = self.ask(operation, body, path=path, **query)
        assert response.status_code == 200, response.text
        assert answer_problems(operations()[operation], response.json()) == []
        return response.json()

    def refused(self, operation: str, body: Any = None, /, **query: Any) -> tuple[int, str, str]:
        """Status, reason and message of an error answer in the flat envelope."""
        response = self.ask(operation, body, **query)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["reason"], response.json()["message"]

    def finished(self, operation: str, body: Any) -> Json:
        """The final task-result of a submitted task. The world is manual, so three looks are enough."""
        task_id = self.good(operation, body)["task_id"]
        for _ in range(3):
            result = self.good("get_task_result", task_id=task_id)
        return result  # pyright: ignore[reportPossiblyUnboundVariable]

    def download(self, link: str) -> Image.Image:
        """A picture behind a link, fetched without a key."""
        response = self.bare.get(link)
        assert response.status_code == 200, response.text
        picture = Image.open(io.BytesIO(response.content))
        assert response.headers["content-type"] == Image.MIME[picture.format or ""]
        picture.load()
        return picture

    def pictures(self, result: Json) -> list[Image.Image]:
        assert result["task"]["status"] == "TASK_STATUS_SUCCEED", result
        return [self.download(image["image_url"]) for image in result["images"]]

    def close(self) -> None:
        self.http.close()
        self.bare.close()


def photo(size: tuple[int, int] = (320, 240), colour: str = "red") -> Image.Image:
    """A picture of a round subject on a white background."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse((size[0] // 4, size[1] // 4, size[0] * 3 // 4, size[1] * 3 // 4), fill=colour)
    return picture


def as_base64(picture: Image.Image, kind: str = "PNG") -> str:
    out = io.BytesIO()
    picture.save(out, kind)
    return base64.b64encode(out.getvalue()).decode()


def from_base64(text: str) -> Image.Image:
    picture = Image.open(io.BytesIO(base64.b64decode(text)))
    picture.load()
    return picture
