"""Builds what the calls of a process share, from its settings. Imported when the first call comes."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio.abc
import anyio.to_thread

from ..novita.core.client import NovitaClient, new_http, owner_of
from ..novita.core.clock import Clock, SystemClock
from ..novita.core.costs import Caps
from ..novita.core.errors import NovitaError
from ..novita.core.hosts import API_HOST
from ..novita.core.network.pools import Outside
from ..novita.files.addresses import Guard
from ..novita.files.artifacts import Artifact, ArtifactStore
from ..novita.files.downloads import Downloader
from ..novita.files.folders import Folders
from ..novita.files.inputs import Inputs
from ..novita.files.parts import sweep
from ..novita.files.s3 import Bucket, Place, SharedStore
from ..novita.journal.databases import Whose, is_database_url
from ..novita.journal.jobs import Jobs
from ..novita.journal.journal import Journal
from ..novita.journal.leases import Leases
from ..novita.journal.team.turns import FairTurns
from ..tools.kit.context import App, Caller, ToolSettings
from ..tools.overview import family_parts
from .config.places import data_folder, journal_file, other_novita, output_folder
from .settings import Settings

logger = logging.getLogger(__name__)


def open_journal(settings: Settings, clock: Clock | None = None) -> Journal:
    """The journal the settings name. Nothing is opened before its first use."""
    url = settings.journal if is_database_url(settings.journal) else None
    whose = Whose.ANOTHER if other_novita(settings.base_url) else Whose.NOVITA
    return Journal(journal_file(settings), url=url, clock=clock, whose=whose)


async def leases_wait(settings: Settings) -> bool:
    """Whether a thing of this user has a lease. It does not create a journal if there is none."""
    path = journal_file(settings)
    if not settings.api_key or (not path.exists() if path else not is_database_url(settings.journal)):
        return False
    journal = open_journal(settings)
    try:
        leases = await Leases(journal).of(owner_of(settings.api_key))
        kinds = await anyio.to_thread.run_sync(lambda: family_parts.ENDERS_BY_KIND) if leases else {}
        return any(lease.kind in kinds for lease in leases)
    except NovitaError as error:
        logger.warning("leases cannot be looked for: %s", error)
        return False
    finally:
        await journal.close()


def allowed_folders(settings: Settings) -> Folders:
    """Where files may be read from and saved to."""
    extra = tuple(Path(part).expanduser() for part in settings.allowed_dirs.split(os.pathsep) if part.strip())
    return Folders(output_folder(settings), extra=extra)


def caps_of(settings: Settings) -> Caps:
    """The spending limits."""
    return Caps(
        per_call=settings.call_limit_usd,
        per_run=settings.spend_limit_usd,
        per_day=settings.spend_limit_usd,
        team=owner_of(settings.team_key) if settings.team_key else "",
        team_per_day=settings.team_limit_usd,
        unknown=settings.unknown_price_usd,
    )


def build_app(
    settings: Settings, background: anyio.abc.TaskGroup, *, http: bool = False, clock: Clock | None = None
) -> App:
    """The shared parts.

    Args:
        http: Callers are remote: their own keys, no paths of this machine, files by link.
    """
    clock = clock or SystemClock()
    pool, files, links = new_http(quick=True), new_http(), new_http()
    outside = Outside(links)
    trusted = _trusted_hosts(settings)
    folders = allowed_folders(settings)
    spool, max_bytes = data_folder(settings) / "spool", settings.max_file_mb * 2**20
    store: ArtifactStore
    if http and settings.artifacts:
        bucket = Bucket(Place.parse(settings.artifacts))
        trusted |= _hosts(bucket.place.endpoint_url, bucket.place.public_endpoint_url)
        store = SharedStore(bucket, staging=spool, max_bytes=max_bytes, clock=clock, http=files, trusted_hosts=trusted)
    else:
        store = ArtifactStore(
            None if http else output_folder(settings),
            allowed=folders,
            max_bytes=max_bytes,
            clock=clock,
            http=files,
            spool=spool,
            trusted_hosts=trusted,
        )
    journal = open_journal(settings, clock)
    jobs = Jobs(journal=journal, store=store, background=background, clock=clock, caps=caps_of(settings))

    def inputs_of(caller: Caller) -> Inputs:
        async def earlier(task_id: str, index: int) -> Artifact:
            media_jobs = await anyio.to_thread.run_sync(lambda: family_parts.media_jobs)  # perhaps imported only now
            found = await caller.app.part(media_jobs).artifact(caller.novita, task_id, index)
            if not http or not found.alive(clock.wall()):
                return await store.present(found)
            # Novita's own link is the shortest way back to it; what is in storage is no path of this machine.
            return (await store.present(found)).model_copy(update={"url": found.url, "expires_at": found.expires_at})

        # Remote callers must not reach this server's network, not even the hosts of Novita or the storage there. A
        # local user may reach their own network.
        guard = Guard(() if http else trusted, allow_private=not http)
        by = partial(Downloader, links, clock, budget=120, turn=partial(outside.turn, caller.owner))
        return Inputs(
            folders=None if http else folders,
            http=links,
            downloader=by(guard, patience=caller.patience.left),
            results=by(Guard(trusted), patience=caller.patience.left),
            clock=clock,
            resolve_task=earlier,
            check_links=True,
            caller=caller.owner,
            hold=caller.hold,
        )

    app = App(
        client=NovitaClient(
            pool,
            None if http else settings.api_key,
            settings.base_url,
            clock=clock,
            outside=outside,
            turns=FairTurns(journal, clock, settings.novita_limit) if http else None,
        ),
        pools=(files, links),
        enders=lambda: family_parts.ENDERS_BY_KIND,
        jobs=jobs,
        inputs=inputs_of,
        settings=ToolSettings(
            wait_seconds=settings.wait_seconds,
            confirm_above_usd=settings.confirm_above_usd,
            thumbnails=settings.thumbnails,
            http=http,
            public_url=settings.public_url if http else None,
            shipped_models_only=settings.shipped_models_only,
            sandboxes=settings.sandboxes,
            sandbox_domain=settings.sandbox_domain,
        ),
    )
    app.leases.remember(app.client)
    background.start_soon(app.leases.watch)
    if http and journal.shared and (hooks := app.part(family_parts.webhooks)) is not None:
        background.start_soon(hooks.listen, settings.journal)
    background.start_soon(_sweep, () if http else (output_folder(settings),), spool, clock.wall())
    return app


async def _sweep(folders: Sequence[Path], spool: Path, wall: float) -> None:
    """Remove partial files that killed processes left behind."""
    for folder in (*folders, spool):
        await anyio.to_thread.run_sync(sweep, folder, wall, abandon_on_cancel=True)


def _trusted_hosts(settings: Settings) -> frozenset[str]:
    """The host of a changed Novita address, which may be on this machine and must be reachable then."""
    if settings.base_url.rstrip("/") == API_HOST:
        return frozenset()
    return _hosts(settings.base_url)


def _hosts(*urls: str | None) -> frozenset[str]:
    return frozenset(urlsplit(url).netloc for url in urls if url)
