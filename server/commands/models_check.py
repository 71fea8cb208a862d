"""The checks of `novita-mcp doctor --models`: whether the models that are used by default still work."""

from dataclasses import dataclass

import httpx

from ...novita.core.client import NovitaClient, new_http
from ...novita.core.errors import NovitaError
from ...novita.media.catalog_entry import Capability
from ...novita.media.freshness import freshness_of, refresh
from ...novita.text.language_models import DEFAULT_MODELS
from ..settings import Settings
from .models import journal_there, known_here


@dataclass(frozen=True)
class ModelFinding:
    """The finding about one default model: not ok if it is gone and no other takes its place."""

    ok: bool
    detail: str
    mend: str = ""


async def examine_models(settings: Settings, *, offline: bool) -> list[ModelFinding]:
    """Check the first model of every chain and the default language models. First read news that are out of date.

    Args:
        offline: Use only what this machine already knows.
    """
    journal = journal_there(settings)
    try:
        try:
            if not offline and not settings.shipped_models_only:
                async with new_http(timeouts=httpx.Timeout(30)) as http:
                    await refresh(journal, NovitaClient(http, settings.api_key, settings.base_url))
            known = await known_here(settings, journal)
            served = (await freshness_of(journal, base=settings.base_url)).news.language
        except NovitaError as error:
            return [ModelFinding(False, error.what, error.next_step)]
    finally:
        await journal.close()
    found: list[ModelFinding] = []
    empty: list[str] = []
    for capability in Capability:
        chain = known.catalog.living[capability]
        alive = [model for model in chain if not (model.id in known.gone and known.gone[model.id].passed_over)]
        words = capability.replace("_", " ")
        if not chain:
            empty.append(words)
        elif not alive:
            mend = "`novita-mcp models refresh` may know others."
            found.append(ModelFinding(False, f"{words}: all that should live are gone: {chain[0].id}", mend))
        else:
            head, passed = alive[0], "" if alive[0] is chain[0] else f"; {chain[0].id} is gone"
            found.append(ModelFinding(True, f"{words}: {head.id}, {head.state} {head.life.date}{passed}"))
    if empty:
        found.append(ModelFinding(True, f"nothing is known to live for: {', '.join(empty)}"))
    for kind, names in DEFAULT_MODELS.items():
        found.append(_language(kind, names, served))
    return [*found, ModelFinding(True, known.age)]


def _language(kind: str, names: tuple[str, ...], served: dict[str, bool]) -> ModelFinding:
    if not served:
        return ModelFinding(True, f"language, {kind}: {names[0]}, as shipped: Novita's list was not read")
    alive = next((name for name in names if served.get(name)), None)
    if alive is not None:
        return ModelFinding(True, f"language, {kind}: {alive}, on Novita's list")
    if kind in ("embedding", "rerank"):
        return ModelFinding(True, f"language, {kind}: {names[0]}; Novita's list promises nothing for these")
    mend = "Name a model: list_models shows what there is."
    return ModelFinding(False, f"language, {kind}: none of {', '.join(names)} is on Novita's list", mend)
