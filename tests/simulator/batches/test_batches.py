"""Files and batches over real HTTP: states, results, limits, money, and time passing on the world's clock."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from novita_mcp.simulator import serving
from novita_mcp.simulator.batches.state import BatchState
from novita_mcp.simulator.core import facts

Json = dict[str, Any]

MODEL = "deepseek/deepseek-v3-0324"
DAY = 86_400


class Batches:
    """The batch routes of one simulator."""

    def __init__(self, running: serving.Running) -> None:
        self.world = running.world
        self.state = running.world.area(BatchState)
        self.http = httpx.Client(base_url=f"{running.url}/openai/v1", headers={"Authorization": "Bearer sk-simulated"})

    def checked(self, operation: str, response: httpx.Response) -> Json:
        assert response.status_code == 200, response.text
        assert facts.answer_problems(facts.operations()[operation], response.json()) == []
        return response.json()

    def upload(self, content: str | bytes, name: str = "rows.jsonl") -> str:
        data = content.encode() if isinstance(content, str) else content
        response = self.http.post("/files", files={"file": (name, data)}, data={"purpose": "batch"})
        return self.checked("upload_file", response)["id"]

    def create(self, content: str | bytes, **body: Any) -> str:
        sent = {"input_file_id": self.upload(content), "endpoint": "/v1/chat/completions", **body}
        return self.checked("create_batch", self.http.post("/batches", json=sent))["id"]

    def look(self, batch_id: str) -> Json:
        return self.checked("retrieve_batch", self.http.get(f"/batches/{batch_id}"))

    def finished(self, batch_id: str) -> Json:
        """The batch after all its time has passed."""
        self.look(batch_id)
        self.world.advance(100)
        return self.look(batch_id)

    def lines(self, file_id: str) -> list[Json]:
        return [json.loads(line) for line in self.http.get(f"/files/{file_id}/content").text.splitlines()]


@pytest.fixture
def batches() -> Iterator[Batches]:
    with serving.serve() as running:
        found = Batches(running)
        yield found
        found.http.close()


def row(number: int, **body: Any) -> Json:
    messages = [{"role": "user", "content": f"Label row {number}"}]
    return {"custom_id": f"row-{number}", "body": {"model": MODEL, "messages": messages, **body}}


def jsonl(*rows: Json) -> str:
    return "".join(json.dumps(each) + "\n" for each in rows)


def test_a_batch_goes_through_its_states_and_answers_every_line(batches: Batches) -> None:
    batches.world.set(manual=True)  # each look is one step
    batch_id = batches.create(jsonl(*map(row, range(30))), metadata={"job": "labels"})
    looks = [batches.look(batch_id) for _ in range(4)]
    assert [look["status"] for look in looks] == ["validating", "in_progress", "in_progress", "completed"]
    assert [look["completed"] for look in looks] == sorted(look["completed"] for look in looks)
    done = looks[-1]
    assert done["request_counts"] == {"total": 30, "completed": 30, "failed": 0}
    assert (done["metadata"], done["error_file_id"], done["errors"]) == ({"job": "labels"}, "", "")
    assert done["completed_at"] >= done["in_progress_at"] >= done["created_at"]
    lines = batches.lines(done["output_file_id"])
    assert [line["custom_id"] for line in lines] == [f"row-{number}" for number in range(30)]
    assert all(line["error"] is None and line["response"]["status_code"] == 200 for line in lines)


def test_a_line_is_answered_like_a_direct_call_and_the_batch_paid_once(batches: Batches) -> None:
    done = batches.finished(batches.create(jsonl(row(1, seed=4), row(2, seed=4))))
    in_batch = batches.lines(done["output_file_id"])
    paid = sum(charge.micro_usd for charge in batches.world.charges)
    for number, line in enumerate(in_batch, 1):
        direct = batches.http.post("/chat/completions", json=row(number, seed=4)["body"]).json()
        assert line["response"]["body"]["choices"] == direct["choices"]
    assert paid == sum(charge.micro_usd for charge in batches.world.charges[1:])
    assert batches.world.charges[0].ref == done["id"]


def test_failed_lines_are_set_apart_with_their_codes(batches: Batches) -> None:
    faulty = row(2, temperature=9)
    seeing = row(3)
    seeing["body"]["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": "https://example.com/a"}}]
    done = batches.finished(batches.create(jsonl(row(1), faulty, seeing)))
    assert done["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    errors = {line["custom_id"]: line for line in batches.lines(done["error_file_id"])}
    assert errors.keys() == {"row-2", "row-3"}
    assert errors["row-2"]["error"]["code"] == 400
    assert "temperature" in errors["row-2"]["error"]["message"]
    assert "image input" in errors["row-3"]["error"]["message"]


def test_completions_run_in_batches_too(batches: Batches) -> None:
    rows = jsonl({"custom_id": "a", "body": {"model": MODEL, "prompt": "Once upon"}})
    done = batches.finished(batches.create(rows, endpoint="/v1/completions"))
    assert batches.lines(done["output_file_id"])[0]["response"]["body"]["object"] == "text_completion"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (jsonl(row(1)) + "{not json}\n", "line 2: not valid JSON"),
        (jsonl(row(1), row(2, model="qwen/qwen3-max")), "line 2: all requests in a file must use the same model"),
        (jsonl(row(1), row(2), row(1)), "line 3: custom_id 'row-1' is used twice"),
        (jsonl({"body": {"model": MODEL}}), "line 1: custom_id"),
        (jsonl({"custom_id": "a"}), "line 1: body"),
        (jsonl(row(1)) + "[1]\n", "line 2: not a JSON object"),
        ("\n\n", "no requests"),
        ('{"custom_id":"%d","body":{}}\n', "50001 requests"),
    ],
)
def test_a_file_against_the_rules_fails_the_batch_and_says_where(batches: Batches, content: str, said: str) -> None:
    if "%d" in content:
        content = "".join(content % number for number in range(50_001))
    done = batches.finished(batches.create(content))
    assert done["status"] == "failed"
    assert said in done["errors"]
    assert (done["output_file_id"], batches.world.charges) == ("", [])


def test_cancelling_takes_a_moment_and_a_cancelled_batch_costs_nothing(batches: Batches) -> None:
    batch_id = batches.create(jsonl(*map(row, range(10))))
    batches.world.advance(5)
    assert batches.look(batch_id)["status"] == "in_progress"
    asked = batches.checked("cancel_batch", batches.http.post(f"/batches/{batch_id}/cancel", json={}))
    assert asked["status"] == "cancelling"
    assert batches.http.post(f"/batches/{batch_id}/cancel").status_code == 200  # asking twice is no fault
    batches.world.advance(5)
    done = batches.look(batch_id)
    assert (done["status"], done["output_file_id"], batches.world.charges) == ("cancelled", "", [])
    again = batches.http.post(f"/batches/{batch_id}/cancel", json={})
    assert (again.status_code, again.json()["code"]) == (400, 400)


def test_a_batch_that_is_not_done_in_its_window_expires(batches: Batches) -> None:
    batches.state.knobs.seconds = 5 * DAY
    batch_id = batches.create(jsonl(row(1), row(2)))
    batches.world.advance(DAY)
    assert batches.look(batch_id)["status"] == "in_progress"
    batches.world.advance(DAY)
    assert batches.look(batch_id)["status"] == "expired"


def test_states_can_be_spelled_as_the_pages_do(batches: Batches) -> None:
    batches.world.set(manual=True)
    batches.state.knobs.upper_case_status = True
    batch_id = batches.create(jsonl(row(1)))
    assert [batches.look(batch_id)["status"] for _ in range(4)] == ["VALIDATING", "PROGRESS", "PROGRESS", "COMPLETED"]


def test_lists_are_null_when_empty_and_newest_first_when_not(batches: Batches) -> None:
    assert batches.checked("list_batches", batches.http.get("/batches"))["data"] is None
    assert batches.checked("list_files", batches.http.get("/files"))["data"] is None
    older, newer = batches.create(jsonl(row(1))), batches.create(jsonl(row(2)))
    listed = batches.checked("list_batches", batches.http.get("/batches"))
    assert [batch["id"] for batch in listed["data"]] == [newer, older]
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (newer, older, False)
    files = batches.checked("list_files", batches.http.get("/files"))
    assert (files["code"], len(files["data"])) == ("200", 2)
    assert "has_more" not in files


def test_a_file_is_kept_read_and_deleted(batches: Batches) -> None:
    content = jsonl(row(1), row(2))
    file_id = batches.upload(content)
    shown = batches.checked("retrieve_file", batches.http.get(f"/files/{file_id}"))
    assert (shown["bytes"], shown["metadata"], shown["purpose"]) == (len(content), {"total_requests": 2}, "batch")
    assert "expires_at" not in shown
    assert batches.http.get(f"/files/{file_id}/content").text == content
    gone = batches.checked("delete_file", batches.http.delete(f"/files/{file_id}"))
    assert gone == {"id": file_id, "object": "file", "deleted": True}
    for response in (batches.http.get(f"/files/{file_id}"), batches.http.delete(f"/files/{file_id}")):
        assert (response.status_code, response.json()["code"]) == (404, 404)


def test_inputs_are_kept_15_days_and_results_30(batches: Batches) -> None:
    done = batches.finished(batches.create(jsonl(row(1))))
    result = batches.http.get(f"/files/{done['output_file_id']}").json()
    assert result["purpose"] == "batch_output"
    assert result["expires_at"] - result["created_at"] == 30 * DAY
    batches.world.advance(16 * DAY)
    assert batches.http.get(f"/files/{done['input_file_id']}").status_code == 404
    assert batches.http.get(f"/files/{done['output_file_id']}").status_code == 200
    batches.world.advance(15 * DAY)
    assert batches.http.get(f"/files/{done['output_file_id']}/content").status_code == 404


def test_wrong_uploads_and_unknown_ids_are_refused(batches: Batches) -> None:
    file = {"file": ("rows.jsonl", b"{}\n")}
    assert batches.http.post("/files", files=file, data={"purpose": "fine-tune"}).status_code == 400
    assert batches.http.post("/files", files={"purpose": (None, "batch")}).status_code == 400
    body = {"input_file_id": "file_none", "endpoint": "/v1/chat/completions"}
    assert batches.http.post("/batches", json=body).status_code == 404
    assert batches.http.get("/batches/batch_none").status_code == 404
    body = {"input_file_id": batches.upload(jsonl(row(1))), "endpoint": "/v1/embeddings"}
    assert batches.http.post("/batches", json=body).json()["reason"] == "INVALID_REQUEST_BODY"


def test_another_account_sees_neither_files_nor_batches(batches: Batches) -> None:
    batch_id = batches.create(jsonl(row(1)))
    batches.world.add_account("sk-other")
    other = {"Authorization": "Bearer sk-other"}
    assert batches.http.get(f"/batches/{batch_id}", headers=other).status_code == 404
    assert batches.http.get("/files", headers=other).json()["data"] is None


def test_two_thousand_rows_are_answered_in_order(batches: Batches) -> None:
    done = batches.finished(batches.create(jsonl(*map(row, range(2000)))))
    lines = batches.lines(done["output_file_id"])
    assert [line["custom_id"] for line in lines] == [f"row-{number}" for number in range(2000)]
