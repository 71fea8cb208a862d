"""Objects that the media tools of a process share; use them as `app.part(media_jobs)` and `app.part(webhooks)`."""

from ...novita.media.jobs import MediaJobs
from ...novita.media.webhooks import Webhooks
from ..kit.context import App


def media_jobs(app: App) -> MediaJobs:
    """Makes the object that runs media jobs, from their start to their files."""
    return MediaJobs(app.jobs, strangers=app.settings.http)


def webhooks(app: App) -> Webhooks | None:
    """Makes the webhook addresses that Novita calls; None if this server cannot be reached from outside."""
    url = app.settings.public_url
    shared = app.journal if app.journal.shared else None
    return Webhooks(app.part(media_jobs), app.jobs.background, url, shared) if url else None
