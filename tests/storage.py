"""An S3 server of the tests' own: moto's, in a thread."""

import importlib
import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class Storage:
    """A running server with one bucket."""

    endpoint: str
    bucket: str = "files"
    credentials: dict[str, str] = field(
        default_factory=lambda: {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret"}
    )

    def url(self, bucket: str | None = None) -> str:
        return f"s3://{bucket or self.bucket}/made?endpoint_url={quote(self.endpoint, safe='')}&region=us-east-1"

    def client(self) -> Any:
        boto3: Any = importlib.import_module("boto3")  # it has no types
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test-secret",
        )

    def keys(self) -> set[str]:
        """All that is kept."""
        return {each["Key"] for each in self.client().list_objects_v2(Bucket=self.bucket).get("Contents", [])}


@contextmanager
def run_storage() -> Generator[Storage]:
    """A server until the block ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        storage = Storage(f"http://{host}:{port}")
        storage.client().create_bucket(Bucket=storage.bucket)
        yield storage
    finally:
        server.stop()
