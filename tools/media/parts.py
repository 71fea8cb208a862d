"""What media tools share in a process: `app.part(media_jobs)`, `app.part(webhooks)`."""

from ...novita.media.jobs import MediaJobs
from ...novita.media.webhooks import Webhooks
from ..kit.context import App


def media_jobs(app: App) -> MediaJobs:
    """Media jobs, from their start to their files."""
    return MediaJobs(app.jobs, strangers=app.settings.http)


def webhooks(app: App) -> Webhooks | None:
    """Addresses for Novita to call; None where the world cannot reach this server."""
    url = app.settings.public_url
    shared = app.journal if app.journal.shared else None
    return Webhooks(app.part(media_jobs), app.jobs.background, url, shared) if url else None
