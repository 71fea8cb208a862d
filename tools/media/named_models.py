"""Models that a call names: from our tables, or from Novita's list if they are newer."""

from collections.abc import Sequence

from anyio import to_thread

from ...novita.core.errors import InputError, UnknownModelError
from ...novita.media.lookup import MediaModel, able_to, advised, media_model
from ...novita.media.offered import offered_model
from ...novita.media.tariffs import load_cel
from ..kit.context import Caller
from .freshness import up_to_date


async def known_or_offered(caller: Caller, name: str) -> MediaModel:
    """The model of that name, from our tables or, if it is newer than they are, from Novita's list.

    Raises:
        UnknownModelError: Neither knows it.
    """
    await up_to_date(caller)
    try:
        return media_model(name)
    except UnknownModelError:
        found = await offered(caller, name)
        if found is None:
            raise
        return found


async def offered(caller: Caller, name: str) -> MediaModel | None:
    """A model that is newer than our tables, from Novita's list; None if it is not listed, or if the settings allow
    only the models that we ship."""
    if caller.app.settings.shipped_models_only:
        return None
    found = await offered_model(caller.novita, name)
    if found is not None and found.tariff is not None:
        await to_thread.run_sync(load_cel)
    return found


def named_model(model: MediaModel, does: Sequence[str]) -> MediaModel:
    """The model, after checking that it has one of these capabilities.

    Raises:
        InputError: It has none of them; the error names models that do.
    """
    if not set(model.does) & set(does):
        fitting = [other.id for other in advised(able_to(does))][:4]
        raise InputError(
            f"{model.id} is for {_words(model.does, ' and ')}, not for {_words(does, ' or ')}",
            next_step=f"Use {', '.join(fitting)}, or another tool for {model.id}." if fitting else "",
        )
    return model


def _words(capabilities: Sequence[str], joint: str) -> str:
    return joint.join(one.replace("_", " ") for one in capabilities)
