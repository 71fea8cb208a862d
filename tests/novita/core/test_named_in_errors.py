"""What a strange answer made: one with both an id and an error status what it names, an empty one what is found."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from novita_mcp.novita.batches.batches import Batch
from novita_mcp.novita.batches.start import create_body, create_once
from novita_mcp.novita.core.client import NovitaClient
from novita_mcp.novita.core.errors import NovitaAPIError
from novita_mcp.novita.gpu.instances import InstanceOrder, create_instance
from novita_mcp.novita.journal.jobs import Accepted
from novita_mcp.novita.media.calls import submit
from novita_mcp.novita.media.lookup import media_model
from novita_mcp.novita.media.mapping import plan


class Novita:
    """Answers everything with one status and body."""

    status: int = 500
    body: Any = None


@pytest.fixture
def novita() -> Novita:
    return Novita()


@pytest.fixture
async def client(novita: Novita) -> AsyncGenerator[NovitaClient]:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(novita.status, text=json.dumps(novita.body))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        yield NovitaClient(http, "sk-me")


@pytest.mark.parametrize("status", [400, 404, 500, 503])
@pytest.mark.parametrize("body", [{"task_id": "t-1"}, {"code": 5, "message": "x", "data": {"task_id": "t-1"}}])
async def test_a_picture_that_was_taken_with_an_error(
    status: int, body: Any, novita: Novita, client: NovitaClient
) -> None:
    novita.status, novita.body = status, body
    wish = plan(media_model("qwen-image-txt2img"), {"prompt": "a fox"})
    assert await submit(client, wish) == Accepted("t-1")
    novita.body = {"code": 5, "message": "x"}
    with pytest.raises(NovitaAPIError):
        await submit(client, wish)


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_a_machine_that_was_made_with_an_error(status: int, novita: Novita, client: NovitaClient) -> None:
    novita.status, novita.body = status, {"message": "not found", "id": "i-1"}
    order = InstanceOrder(name="box", product_id="4090.18c100g", image="a/b:1")
    assert await create_instance(client, order) == "i-1"
    novita.body = {"message": "no stock"}
    with pytest.raises(NovitaAPIError):
        await create_instance(client, order)


@pytest.mark.parametrize("status", [400, 500])
async def test_a_batch_that_was_made_with_an_error(status: int, novita: Novita, client: NovitaClient) -> None:
    novita.status, novita.body = status, {"message": "busy", "id": "batch_1"}
    made = await create_once(client, create_body("file_1", "chat"))
    assert isinstance(made, Batch)
    assert (made.id, made.input_file_id) == ("batch_1", "file_1")


@pytest.mark.parametrize("answer", ["", "{}", "null", "[]"])
async def test_a_batch_whose_creation_answered_nothing_is_adopted(answer: str) -> None:
    """As one whose answer was lost: what was made of the file tells."""
    sent: list[str] = []

    def novita(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        if request.method == "POST":
            return httpx.Response(200, text=answer)
        row = {"id": "batch_7", "input_file_id": "file_1", "status": "VALIDATING", "created_at": 1}
        return httpx.Response(200, json={"data": [row], "has_more": False})

    async with httpx.AsyncClient(transport=httpx.MockTransport(novita)) as http:
        made = await create_once(NovitaClient(http, "sk-me"), create_body("file_1", "chat"))
    assert (made.id, sent.count("POST")) == ("batch_7", 1)
