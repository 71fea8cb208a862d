"""Finished files and the signed links to them, as an object store hands them out."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from .bounds import Bounds, Kept

Bytes = bytes | Callable[[], bytes]


@dataclass
class HostedFile:
    """A file that may still have to be made: `data` is called on the first download."""

    id: str
    name: str
    content_type: str
    made: Bytes
    downloads: int = 0

    @property
    def data(self) -> bytes:
        if not isinstance(self.made, bytes):
            self.made = self.made()
        return self.made

    @property
    def size(self) -> int:
        """The number of bytes held in memory; 0 until the file is made."""
        return len(self.made) if isinstance(self.made, bytes) else 0

    def empty(self) -> None:
        """Free the file's bytes."""
        self.made = b""


class FileStore:
    """All files of a world, by id."""

    def __init__(self, now: Callable[[], float], link_ttl: Callable[[], float], bounds: Bounds) -> None:
        """`now` tells the world's time, and `link_ttl` how many seconds a link works by default."""
        self._now, self._link_ttl = now, link_ttl
        self._secret = secrets.token_bytes(16)
        self.files: Kept[str, HostedFile] = Kept(
            bounds.files, most_bytes=bounds.file_bytes, size=lambda file: file.size, forgotten=HostedFile.empty
        )
        self.uploads: Kept[str, bytes] = Kept(bounds.records, most_bytes=bounds.upload_bytes, size=len)
        """The bytes that clients sent to upload links, by the id in the link."""

    def add(self, name: str, content_type: str, data: Bytes) -> HostedFile:
        """Keep a file; `data` may be a function that makes it when it is first wanted."""
        file = HostedFile(secrets.token_hex(16), name, content_type, data)
        self.files[file.id] = file
        return file

    def link(self, file: HostedFile, base_url: str, ttl: float | None = None) -> str:
        """A link that works for `ttl` seconds of the world (default: the setting link_ttl)."""
        expires = int(self._now() + (self._link_ttl() if ttl is None else ttl))
        signature = self.signature(file.id, expires)
        return f"{base_url}/_simulator/files/{file.id}/{quote(file.name)}?X-Expires={expires}&X-Signature={signature}"

    def upload_link(self, base_url: str, name: str = "upload") -> tuple[str, str]:
        """An id and a link that takes a PUT without a key; the bytes arrive in `uploads` under the id."""
        upload_id = secrets.token_hex(16)
        return upload_id, f"{base_url}/_simulator/uploads/{upload_id}/{quote(name)}"

    def signature(self, file_id: str, expires: int) -> str:
        return hmac.new(self._secret, f"{file_id}:{expires}".encode(), hashlib.sha256).hexdigest()
