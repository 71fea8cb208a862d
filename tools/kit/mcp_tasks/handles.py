"""Sealed handles: MCP task ids that hold the job's id, sealed, so that any copy of the server can answer for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState


class BadHandleError(Exception):
    """The text is no handle of ours, was altered, or belongs to another caller. The error never says which."""


@dataclass(frozen=True)
class Handle:
    """The content of a task id: a job (`kind`, `job_id`) of one caller, made by `tool` at `created` (Unix seconds)."""

    kind: str
    job_id: str
    tool: str
    owner: str
    created: float


class Sealer:
    """Seals handles and opens them again."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._codec = AESGCMRequestStateCodec(list(keys))

    def seal(self, handle: Handle) -> str:
        fields = [handle.kind, handle.job_id, handle.tool, handle.owner, round(handle.created, 3)]
        return self._codec.seal(json.dumps(fields, separators=(",", ":")).encode())

    def open(self, text: str, *, owner: str) -> Handle:
        """The handle in `text`.

        Raises:
            BadHandleError: The text is not a valid handle that belongs to `owner`.
        """
        try:
            kind, job_id, tool, sealed_for, created = json.loads(self._codec.unseal(text))
        except (InvalidRequestState, ValueError, TypeError) as error:
            raise BadHandleError from error
        if sealed_for != owner:
            raise BadHandleError
        return Handle(kind, job_id, tool, sealed_for, created)
