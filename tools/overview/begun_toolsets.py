"""A door to toolsets that a later module completes, as they are without it: what completes them knows many families,
and most of their tools do not need it."""

from typing import TYPE_CHECKING

from ...novita.core.lazy import lazily

if TYPE_CHECKING:
    from ..media.media_models import models
    from ..media.videos import videos
    from .tasks import tasks

__all__ = ["models", "tasks", "videos"]

__getattr__ = lazily(__name__, {"models": "..media.media_models", "tasks": ".tasks", "videos": "..media.videos"})
