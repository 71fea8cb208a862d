"""Finished files in S3-compatible storage: every copy of the server finds them, and callers get links that expire.

A file is fetched and checked as usual, then stored under a key made of its owner, its task and its own content. Nobody
can guess the key without having the file, and the same file saved twice is stored once. In the journal its path is
`s3://bucket/key`; callers never see that path.
"""

import hashlib
import importlib
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import anyio.to_thread
import httpx

from ..core.clock import Clock
from ..core.errors import ArtifactError
from ..core.network.surroundings import SettingOfTheWayError, Surroundings, check_proxy
from .artifacts import Artifact, ArtifactStore, NameHint
from .folders import Folders
from .kinds import MediaType

T = TypeVar("T")
logger = logging.getLogger(__name__)

DAY = 86_400
_UNNAMED = NameHint()
_LONGEST_LINK = 7 * DAY  # signatures of S3 allow no longer time
_KNOWN = {"endpoint_url", "public_endpoint_url", "region", "expires"}


@dataclass(frozen=True)
class Place:
    """The place in the storage where files go.

    Args:
        prefix: The beginning of all keys: empty, or ending in a slash.
        endpoint_url: The address of the storage, if it is not Amazon's.
        public_endpoint_url: The address by which callers reach the storage, if it differs.
        expires: How many seconds a link stays valid.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    region: str | None = None
    expires: int = DAY

    @classmethod
    def parse(cls, url: str) -> "Place":
        """Read `s3://bucket/prefix?endpoint_url=...&public_endpoint_url=...&region=...&expires=...`.

        The URL holds no access keys: those are read from where Amazon's own tools read them.

        Raises:
            ValueError: The URL does not have that form.
        """
        parts = urlsplit(url)
        given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme != "s3" or not parts.hostname or "@" in parts.netloc:
            raise ValueError("it must be s3://bucket/prefix?..., without a key in it")
        if unknown := sorted(set(given) - _KNOWN):
            raise ValueError(f"{unknown[0]!r} is not among {', '.join(sorted(_KNOWN))}")
        expires = int(given.get("expires", DAY))
        if not 60 <= expires <= _LONGEST_LINK:
            raise ValueError(f"expires must be 60 to {_LONGEST_LINK} seconds")
        prefix = parts.path.strip("/")
        return cls(
            parts.netloc,
            f"{prefix}/" if prefix else "",
            given.get("endpoint_url"),
            given.get("public_endpoint_url"),
            given.get("region"),
            expires,
        )


class Bucket:
    """The storage itself. Its methods block: call them in threads."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._lock = threading.Lock()
        self._clients: dict[tuple[str | None, bool], Any] = {}

    def put(self, path: Path, key: str, mime: str) -> None:
        """Store a file under a key."""

        def send() -> None:
            with path.open("rb") as body:
                self._client().put_object(Bucket=self.place.bucket, Key=key, Body=body, ContentType=mime)

        self._do(send)

    def get(self, key: str, most: int) -> bytes:
        """The bytes stored under a key.

        Raises:
            ArtifactError: There are more than `most` bytes, or the key does not exist.
        """

        def fetch() -> bytes | None:
            found = self._client().get_object(Bucket=self.place.bucket, Key=key)
            with closing(found["Body"]) as body:
                return body.read() if found["ContentLength"] <= most else None

        data = self._do(fetch)
        if data is None:
            raise ArtifactError(f"The file is larger than {most // 2**20} MiB", next_step="Download it by its link.")
        return data

    def remove(self, beginning: str) -> int:
        """Remove all files whose keys begin so. Returns how many there were."""

        def sweep() -> int:
            client, removed = self._client(), 0
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.place.bucket, Prefix=beginning):
                for each in page.get("Contents", []):
                    client.delete_object(Bucket=self.place.bucket, Key=each["Key"])
                    removed += 1
            return removed

        return self._do(sweep)

    def link(self, key: str) -> str:
        """A signed link that stays valid for `place.expires` seconds. Signing it needs no request."""
        wanted = {"Bucket": self.place.bucket, "Key": key}
        client = self._client(self.place.public_endpoint_url, asks=False)
        return self._do(lambda: client.generate_presigned_url("get_object", wanted, ExpiresIn=self.place.expires))

    def _client(self, endpoint: str | None = None, *, asks: bool = True) -> Any:
        """The driver's client. It is made at the first use, since importing the driver takes half a second.

        Args:
            asks: Whether the client will send requests, so that it needs the right proxy.

        Raises:
            ArtifactError: The driver is missing, or the proxy that is set up cannot be used.
        """
        endpoint = endpoint or self.place.endpoint_url
        with self._lock:
            if (endpoint, asks) not in self._clients:
                try:
                    boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
                except ImportError as error:
                    raise ArtifactError(
                        "Files in S3 need a driver that is not installed",
                        next_step="Have whoever runs this server install novita-mcp[team].",
                    ) from error
                session = boto3.session.Session()
                region = self.place.region or session.region_name or "us-east-1"
                home = endpoint or f"https://{self.place.bucket}.s3.{region}.amazonaws.com"
                self._clients[endpoint, asks] = session.client(
                    "s3",
                    endpoint_url=endpoint,
                    region_name=self.place.region,
                    config=config.Config(
                        signature_version="s3v4",
                        proxies=_proxies(home) if asks else {},
                        connect_timeout=10,
                        read_timeout=60,
                        retries={"max_attempts": 4, "mode": "standard"},
                        # Buckets as host names need a domain of their own, and only Amazon knows the newer checksums.
                        s3={"addressing_style": "path" if endpoint else "auto"},
                        request_checksum_calculation="when_required",
                        response_checksum_validation="when_required",
                    ),
                )
            return self._clients[endpoint, asks]

    def _do(self, work: Callable[[], T]) -> T:
        exceptions = importlib.import_module("botocore.exceptions")
        try:
            return work()
        except exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "no code"))  # the error's own text may contain keys
            raise self._trouble(code) from error
        except exceptions.ProxyConnectionError as error:
            raise ArtifactError(
                "The proxy on the way to the file storage could not be used",
                next_step="Correct or unset HTTPS_PROXY, or name the storage's host in NO_PROXY; then call get_task "
                "with its id. Nothing is paid twice.",
            ) from error
        except (exceptions.BotoCoreError, OSError) as error:
            raise self._trouble(type(error).__name__) from error

    def _trouble(self, what: str) -> ArtifactError:
        return ArtifactError(
            f"The file storage could not be used ({what})",
            next_step="Call get_task with its id to try again; nothing is paid twice.",
        )


def _proxies(url: str) -> dict[str, str]:
    """The proxy for the storage, in the driver's form; empty for none.

    We read the environment ourselves, since the driver reads it in another way than the rest of this server.

    Raises:
        ArtifactError: The proxy that is set up cannot be used.
    """
    place = httpx.URL(url)
    try:
        proxy = Surroundings.read().proxy_for(place)
        if proxy is None:
            return {}
        check_proxy(proxy)
        if proxy.url.lower().startswith("socks"):
            raise SettingOfTheWayError(
                f"{proxy.setting} names a SOCKS proxy, through which the file storage cannot be asked",
                f"Name an HTTP proxy, or {place.host} in NO_PROXY.",
            )
    except SettingOfTheWayError as error:
        what = f"The file storage cannot be asked: {error}"
        raise ArtifactError(what, next_step=f"{error.mend} Then call get_task with its id.") from error
    return {place.scheme: proxy.url}


class SharedStore(ArtifactStore):
    """Saves finished files in a bucket.

    Args:
        staging: A private folder that each file passes through. The file stays there if the bucket cannot store it.
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        staging: Path,
        max_bytes: int,
        clock: Clock,
        http: httpx.AsyncClient,
        trusted_hosts: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(
            None,
            allowed=Folders(staging),
            max_bytes=max_bytes,
            clock=clock,
            http=http,
            spool=staging,
            trusted_hosts=trusted_hosts,
        )
        self.bucket = bucket

    @property
    def saves(self) -> bool:
        return True

    def holds(self, artifact: Artifact) -> bool:
        return self._key(artifact) is not None

    async def fetch(self, artifact: Artifact, *, name: NameHint = _UNNAMED, save_to: str | None = None) -> Artifact:
        if save_to is not None:
            self.check_place(save_to)
        if self.holds(artifact):
            return artifact
        if await anyio.to_thread.run_sync(super().holds, artifact):
            return await self._put(artifact, name)  # the bucket could not store the file last time
        staged = await self._bring(artifact.model_copy(update={"path": None}), name, save_to)
        return await self._put(staged, name)

    async def present(self, artifact: Artifact) -> Artifact:
        key = self._key(artifact)
        if key is None:
            return artifact
        url = await anyio.to_thread.run_sync(self.bucket.link, key)
        until = datetime.fromtimestamp(int(self._clock.wall()), UTC) + timedelta(seconds=self.bucket.place.expires)
        return artifact.model_copy(update={"path": None, "url": url, "expires_at": until})

    async def read(self, artifact: Artifact, *, max_bytes: int | None = None) -> bytes:
        key = self._key(artifact)
        if key is None:
            return await super().read(artifact, max_bytes=max_bytes)
        return await anyio.to_thread.run_sync(self.bucket.get, key, max_bytes or self.max_bytes)

    async def remove_all(self, owner: str) -> int:
        """Remove all files of an owner. Returns how many there were."""
        return await anyio.to_thread.run_sync(self.bucket.remove, self._folder(owner))

    def _folder(self, owner: str) -> str:
        """The beginning of the keys of all files of an owner."""
        return f"{self.bucket.place.prefix}{hashlib.sha256(f'files of {owner}'.encode()).hexdigest()[:24]}/"

    async def _save(
        self, data: bytes, artifact: Artifact, found: MediaType | None, name: NameHint, save_to: str | None
    ) -> Artifact:
        staged = await super()._save(data, artifact, found, name, save_to)
        try:
            return await self._put(staged, name)
        except ArtifactError as error:  # these bytes cannot be fetched again, so they stay on this machine
            logger.warning("%s stays on this machine: %s", artifact.name, error)
            return staged

    async def _put(self, staged: Artifact, name: NameHint) -> Artifact:
        path = Path(staged.path or "")
        file = f"{name.owner}/{staged.task_id}/{staged.index}/{staged.sha256}"
        place = self.bucket.place
        key = f"{self._folder(name.owner)}{hashlib.sha256(file.encode()).hexdigest()}{path.suffix}"
        await anyio.to_thread.run_sync(self.bucket.put, path, key, staged.mime or "application/octet-stream")
        await anyio.to_thread.run_sync(partial(path.unlink, missing_ok=True))
        return staged.model_copy(update={"path": f"s3://{place.bucket}/{key}"})

    def _key(self, artifact: Artifact) -> str | None:
        start = f"s3://{self.bucket.place.bucket}/"
        path = artifact.path or ""
        return path.removeprefix(start) if path.startswith(start) else None


async def remove_files(store: ArtifactStore, owner: str, artifacts: Sequence[Artifact]) -> int:
    """Remove an owner's files from the shared storage and from the spool of this machine. Returns how many there were.

    Args:
        artifacts: The files of all tasks of the owner. Files in a user's own folders stay there.

    Raises:
        ArtifactError: The storage cannot be used. Another call removes the files that are left.
    """
    removed = await anyio.to_thread.run_sync(_from_spool, store.spool, artifacts)
    return removed + (await store.remove_all(owner) if isinstance(store, SharedStore) else 0)


def _from_spool(spool: Path | None, artifacts: Sequence[Artifact]) -> int:
    kept = [Path(each.path) for each in artifacts if each.path and Path(each.path).parent == spool]
    there = [path for path in kept if path.is_file()]
    for path in there:
        path.unlink(missing_ok=True)
    return len(there)
