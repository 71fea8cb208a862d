"""The catalogue of media models: which exist, which still work, which is preferred, and which one a name means.

The entries are data: catalog/image.json, video.json, audio.json and newer.json. catalog/states.json says which of them
still work and which is preferred for what, and catalog/prices.json what they cost; scripts/carry_facts.py writes both.
They are read on first use. Newer facts from Novita (news.py) make another catalogue, which a call uses by
`use_catalog`.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from ..core.errors import UnknownModelError
from ..core.json_paths import Json
from ..core.schema_errors import echo
from .catalog_entry import Capability, MediaModel

_FILES = ("image.json", "video.json", "audio.json", "newer.json")
_STATES_FILE, _PRICES_FILE = "states.json", "prices.json"


@dataclass(frozen=True)
class OldName:
    """What became of a V2 parameter.

    Args:
        now: Leaf names of its V3 fields; empty where it is gone.
        say: The sentence that says what replaced it, or why it is gone.
    """

    now: tuple[str, ...]
    say: str


@dataclass(frozen=True, eq=False)
class Catalog:
    """All models, as they are known at one moment.

    Args:
        chains: Capability -> ids of the preferred models.
    """

    models: tuple[MediaModel, ...]
    chains: Mapping[str, tuple[str, ...]]

    @cached_property
    def by_key(self) -> Mapping[str, MediaModel]:
        """Normal form (`key_of`) of each name -> its model. Ids win, as an operationId may look like another's id."""
        found = {key_of(model.id): model for model in self.models}
        for model in self.models:
            for name in (model.operation, *model.aliases):
                found.setdefault(key_of(name), model)
        return found

    @cached_property
    def living(self) -> Mapping[Capability, tuple[MediaModel, ...]]:
        """Capability -> models that still work, preferred first: by evidence of life, then by price. May be empty."""
        ids = {model.id: model for model in self.models}
        found: dict[Capability, tuple[MediaModel, ...]] = {}
        for one in Capability:
            named = [ids[name] for name in self.chains.get(one, ()) if ids[name].live]
            others = [model for model in self.models if model.live and one in model.does and model not in named]
            found[one] = (*named, *sorted(others, key=lambda model: (model.doubt, not model.price)))
        return found

    @cached_property
    def doubtful(self) -> Mapping[Capability, tuple[MediaModel, ...]]:
        """Capability -> models that may be gone, the least doubtful first."""
        rest = sorted((model for model in self.models if not model.live), key=lambda model: model.doubt)
        return {one: tuple(model for model in rest if one in model.does) for one in Capability}


def _read(name: str) -> Json:
    return json.loads((Path(__file__).with_name("catalog") / name).read_text(encoding="utf-8"))


@cache
def _data() -> tuple[Json, ...]:
    return tuple(_read(name) for name in _FILES)


@cache
def shipped() -> Catalog:
    """The catalogue of this release, in the order of the tables: image, video, audio, and what came since."""
    states, prices = _read(_STATES_FILE), _read(_PRICES_FILE)["models"]
    found: list[MediaModel] = []
    for entry in (entry for table in _data() for entry in table["models"]):
        known = {"life": states["models"].get(entry["id"]), "price": prices.get(entry["id"])}
        found.append(MediaModel.model_validate(entry | {name: one for name, one in known.items() if one}))
    return Catalog(tuple(found), {name: tuple(ids) for name, ids in states["chains"].items()})


_used: ContextVar[Catalog | None] = ContextVar("catalog", default=None)
_gone: ContextVar[frozenset[str]] = ContextVar("gone", default=frozenset())


def catalog() -> Catalog:
    """The catalogue of this call: the shipped one, or the one given to `use_catalog`."""
    return _used.get() or shipped()


def use_catalog(found: Catalog, *, gone: Iterable[str] = ()) -> None:
    """Use this catalogue for the rest of the call (of its context).

    Args:
        gone: Ids of models that Novita refused to this caller; no advice names them.
    """
    _used.set(found)
    _gone.set(frozenset(gone))


def advised(models: Iterable[MediaModel]) -> list[MediaModel]:
    """The models among these that may be recommended: they work, and were not seen to be gone. Without duplicates."""
    return [model for model in once(models) if model.live and model.id not in _gone.get()]


def media_models() -> tuple[MediaModel, ...]:
    """Every model."""
    return catalog().models


def chain(capability: Capability) -> tuple[MediaModel, ...]:
    """Working models with a capability, preferred first."""
    return catalog().living[capability]


def doubtful(capability: Capability) -> tuple[MediaModel, ...]:
    """Models with a capability that may be gone, the least doubtful first. They are tried if no working model fits."""
    return catalog().doubtful[capability]


def able_to(does: Iterable[str]) -> list[MediaModel]:
    """Every model with one of the capabilities, the best evidence of life first."""
    wanted = [Capability(one) for one in does]
    return once(model for list_of in (chain, doubtful) for one in wanted for model in list_of(one))


@cache
def not_models() -> Mapping[str, str]:
    """Documented media operations that are no models: operationId and why."""
    return {name: why for table in _data() for name, why in table["not_models"].items()}


@cache
def old_names() -> Mapping[str, OldName]:
    """The V2 image parameters by name (source: v2-to-v3.md of the API facts)."""
    rows: dict[str, Json] = _data()[0]["old_names"]
    return {name: OldName(tuple(row["now"]), row["say"]) for name, row in rows.items()}


def key_of(name: str) -> str:
    """A name without case and punctuation."""
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")


def media_model(model: str) -> MediaModel:
    """The model of that id, operationId or alias; case and punctuation do not matter.

    Raises:
        UnknownModelError: Names the nearest ids.
    """
    key = key_of(model)
    known = catalog().by_key
    if key in known:
        return known[key]
    for operation, why in not_models().items():
        if key == key_of(operation):
            raise UnknownModelError(f"{model!r} is not a model ({why})", next_step=_SEE_LIST)
    near = once(known[name] for name in difflib.get_close_matches(key, known, n=6, cutoff=0.5))
    ids = [found.id for found in advised(near)][:4]
    if near and not advised(near[:1]):
        # The model that was probably meant is gone, so correcting the spelling would only lead to the next error.
        kin = advised(model for one in near[0].does for model in chain(one))
        ids = [found.id for found in kin[:4]] or [near[0].id]
        hint = f"Models of its kind: {', '.join(ids)}. "
    else:
        hint = f"Did you mean {' or '.join(ids)}? " if ids else ""
    raise UnknownModelError(f"There is no media model {echo(model)}", next_step=f"{hint}{_SEE_LIST}")


_SEE_LIST = "list_media_models shows every model."


def once(models: Iterable[MediaModel]) -> list[MediaModel]:
    """The models without duplicates."""
    return list({model.id: model for model in models}.values())
