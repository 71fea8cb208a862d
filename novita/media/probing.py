"""Checks whether a route exists today, by sending it an empty body, which Novita refuses.

Only routes that require a field and belong to one model are checked. A shared route names the model in the body, so
the route exists even if the model does not. No document says that a refused media request is free of charge.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

from ..core.client import NovitaClient
from ..core.errors import NotFoundError, NovitaAPIError, NovitaError
from .catalogue import media_models
from .lookup import MediaModel, lacking

Found = Literal["there", "gone", "nothing learnt"]


@dataclass(frozen=True)
class Probed:
    """What a route answered."""

    model: MediaModel
    found: Found
    said: str = ""


def probeable() -> list[MediaModel]:
    """Models that can be checked in this way, the best evidence of life first. Retired models are left out."""
    paths = [model.path for model in media_models()]
    return sorted(
        (
            model
            for model in media_models()
            if model.state != "retired"
            and model.path.startswith("/v3/")
            and paths.count(model.path) == 1
            and model.input.get("required")
            and lacking(model, {})
        ),
        key=lambda model: model.doubt,
    )


async def probe(client: NovitaClient) -> AsyncGenerator[Probed]:
    """Ask each of these routes once.

    Raises:
        NovitaError: Novita does not accept the key, or there is none.
    """
    for model in probeable():
        try:
            await client.for_looking().spend(
                model.method, model.path, body={}, doing=f"asking for the route of {model.id}", as_json=False
            )
        except NotFoundError as error:
            yield Probed(model, "gone" if error.gone == "route" else "nothing learnt", error.what)
        except NovitaAPIError as error:
            if error.status in (401, 403):
                raise
            yield Probed(model, "there" if error.status in (400, 422) else "nothing learnt", error.what)
        except NovitaError as error:
            if client.api_key is None:
                raise
            yield Probed(model, "nothing learnt", error.what)
        else:
            yield Probed(model, "there", "it took an empty body: look at list_tasks and the balance")
