"""Sealed handles: an MCP task id that carries its own meaning, so that any copy of the server can answer for it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState


class BadHandleError(Exception):
    """Not one of ours, tampered with, or made for another caller. Which of these is nobody's business."""


@dataclass(frozen=True)
class Handle:
    """What a task id stands for: a job (`kind`, `job_id`) of one caller, made by `tool` at `created` (Unix time)."""

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
        """The handle, if it is whole and belongs to `owner`.

        Raises:
            BadHandleError: It is not.
        """
        try:
            kind, job_id, tool, sealed_for, created = json.loads(self._codec.unseal(text))
        except (InvalidRequestState, ValueError, TypeError) as error:
            raise BadHandleError from error
        if sealed_for != owner:
            raise BadHandleError
        return Handle(kind, job_id, tool, sealed_for, created)
