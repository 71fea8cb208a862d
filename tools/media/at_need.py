"""A door to what few calls of media tools need: read it in a thread."""

from typing import TYPE_CHECKING

from ...novita.core.lazy import lazily

if TYPE_CHECKING:
    from .asked_instead import ask_instead

__all__ = ["ask_instead"]

__getattr__ = lazily(__name__, {"ask_instead": ".asked_instead"})
