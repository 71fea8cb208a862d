"""The simulator posts to a webhook when a task has ended."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ..sim_api import Api, Json
from .drawing_requests import SD


class Receiver:
    """A server that keeps what is posted to it. It answers with the statuses it was given, and after them with 200."""

    def __init__(self, *statuses: int) -> None:
        self.events: list[Json] = []
        self.statuses = list(statuses)
        self.done = threading.Event()
        receiver = self

        class PictureHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["content-length"])))
                receiver.events.append(event)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                self.end_headers()
                if status == 200:
                    receiver.done.set()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), PictureHandler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver(500)
    yield receiver
    receiver.close()


def test_the_finished_task_is_posted_to_the_webhook_until_somebody_takes_it(api: Api, receiver: Receiver) -> None:
    """Novita's webhook page: any 2xx acknowledges; otherwise the event is sent again."""
    result = api.finished("txt2img", {"request": SD, "extra": {"webhook": {"url": receiver.url}}})
    assert receiver.done.wait(10)
    assert len(receiver.events) == 2
    event = receiver.events[1]
    assert event["event_type"] == "ASYNC_TASK_RESULT"
    assert event["payload"]["task"] == result["task"]
    assert event["payload"]["extra"]["webhook"]["url"] == receiver.url
    assert api.download(event["payload"]["images"][0]["image_url"]).size == (256, 320)


def test_a_webhook_in_test_mode_costs_nothing(api: Api, receiver: Receiver) -> None:
    api.world.set(manual=False)
    mode = {"enabled": True, "return_task_status": "TASK_STATUS_FAILED"}
    api.good("txt2img", {"request": SD, "extra": {"webhook": {"url": receiver.url, "test_mode": mode}}})
    assert receiver.done.wait(10)
    assert receiver.events[-1]["payload"]["task"]["status"] == "TASK_STATUS_FAILED"
    assert api.world.charges == []
