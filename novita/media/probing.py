"""Whether a route is there today: it is sent an empty body, which Novita turns away.

Only routes that ask for a field, and that belong to one model: on a shared route the model stands in the body, and
the route is always there. No document says that a media request is not charged when it is turned away.
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
    """Models that can be asked so, the best evidence of life first; none that is said to be retired."""
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
    """Ask each of them once.

    Raises:
        NovitaError: The key is not accepted, or there is none.
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
