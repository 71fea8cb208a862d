"""A door to what the server itself needs of single families, so that a call of one family imports no other."""

from typing import TYPE_CHECKING

from ...novita.core.lazy import lazily

if TYPE_CHECKING:
    from ..media.parts import media_jobs, webhooks
    from .leased import ENDERS_BY_KIND

__all__ = ["ENDERS_BY_KIND", "media_jobs", "webhooks"]

__getattr__ = lazily(
    __name__, {"ENDERS_BY_KIND": ".leased", "media_jobs": "..media.parts", "webhooks": "..media.parts"}
)
