"""`novita-mcp forget`: removes the key, rows and files of somebody who signed in to a server over HTTP."""

import sys

import anyio

from ...novita.core.errors import NovitaError
from ...novita.core.redaction import owner_of_subject
from ...novita.core.words import counted
from ..building import build_app
from ..settings import SettingError, Settings
from ..sign_in.forgetting import Forgotten, forget


def run_forget(settings: Settings, subject: str) -> int:
    """Remove a subject from the journal and the storage in the settings. Returns the exit code: 1 if the subject still
    pays for something that runs.

    Args:
        subject: The name that the authorization server gives (`sub` of its tokens).

    Raises:
        SettingError: No issuer is set.
    """
    if not settings.oauth_issuer:
        raise SettingError("this server has no sign-in: NOVITA_MCP_OAUTH_ISSUER is not set")
    try:
        gone = anyio.run(_forget, settings, owner_of_subject(settings.oauth_issuer, subject))
    except NovitaError as error:
        sys.stderr.write(f"novita-mcp: {error}\n")
        return 1
    key = "a key, " if gone.key else ""
    sys.stdout.write(f"Removed of {subject}: {key}{counted(gone.jobs, 'task')} and {counted(gone.files, 'file')}.\n")
    return 0


async def _forget(settings: Settings, owner: str) -> Forgotten:
    gone: Forgotten | None = None
    async with anyio.create_task_group() as background:
        app = build_app(settings, background, http=True)
        try:
            gone = await forget(app, owner)
        finally:
            background.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await app.close()
    assert gone is not None  # the block above either sets it or raises an error
    return gone
