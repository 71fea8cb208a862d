"""What a handler raises to answer with an error. `app.py` writes the envelope of the operation's group around it."""

from collections.abc import Mapping
from typing import Any

from .facts import error_row


class Fault(Exception):
    """An error answer: status, the name that arrives as `reason`, and free text.

    `headers` are added to the answer, `extra` to its JSON body.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message or reason.replace("_", " ").lower()
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    @classmethod
    def named(cls, group: str, name: str, message: str = "", *, headers: Mapping[str, str] | None = None) -> "Fault":
        """A row of the error tables, by its group (media, llm, gpu, billing) and name; KeyError if there is none."""
        row = error_row(group, name)
        return cls(row["http_status"], name, message or row["meaning"], headers=headers)
