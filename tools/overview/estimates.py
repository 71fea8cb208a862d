"""Estimates what a call would cost: media by the catalogue, language models and machines by Novita's live prices."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from ...novita.core.costs import DIFFERS
from ...novita.core.errors import InputError, UnknownModelError
from ...novita.core.money import say_exactly, say_usd, show_price, show_usd
from ...novita.core.words import counted
from ...novita.gpu.products import PRICE_SOURCE, RAW, Billing, MachineOffer, MachineWish, find_offers, list_cpu_products
from ...novita.media.catalogue import advised, catalog, key_of
from ...novita.media.lookup import MediaModel, media_model, media_models
from ...novita.media.mapping import price_of, price_row_of
from ...novita.serverless.endpoints import list_offers
from ...novita.text.kept_list import listed_models
from ...novita.text.language_models import LlmModel, count_tokens, find_model
from ..kit.context import Call, Caller
from ..kit.toolset import READS, ToolResult
from ..media.freshness import up_to_date
from ..media.media_models import models
from ..media.named_models import offered
from ..text.chat_request import USUAL_TOKENS

HOURS_A_MONTH = 720

A = TypeVar("A", bound=BaseModel)


class EstimateLine(BaseModel):
    """What the call would cost with one of several models."""

    model: str = Field(description="What it was reckoned for.")
    estimated_cost_usd: str = Field(description="Of all together, USD, or unknown.")
    each_usd: str | None = Field(default=None, description="Of one, where several are made.")
    basis: str = Field(description="As in basis.")
    price_row: str | None = Field(default=None, description="Row of the price list that counts.")
    note: str = Field(description="How it was reckoned, or why it was not.")


Table = Annotated[
    tuple[EstimateLine, ...] | None,
    WithJsonSchema({"type": "array", "items": {"type": "object"}}, mode="serialization"),
]


class CostEstimate(ToolResult):
    """What a call would cost."""

    model: str = Field(description="What it was reckoned for; of several the cheapest.")
    estimated_cost_usd: str = Field(description="USD, or unknown; of all together.")
    each_usd: str | None = Field(default=None, description="Of one, with count.")
    price_row: str | None = Field(default=None, description="Row of the price list that counts: sound, resolution.")
    table: Table = Field(default=None, description="With models: a line each, the cheapest first.")
    basis: Literal["documented", "maker", "third_party", "live", "unknown"] = Field(
        description="Whose price it is: Novita's own, the maker's, somebody else's, or Novita's list as it is now."
    )
    note: str = Field(description="How it was reckoned.")
    usd_per_hour: str | None = Field(default=None, description="Of a machine that runs.")
    usd_per_day: str | None = Field(default=None, description="Of a machine that runs.")
    usd_per_month: str | None = Field(default=None, description="Of 30 days.")

    def headline(self) -> str:
        if self.table is not None:
            known = [line for line in self.table if line.estimated_cost_usd != "unknown"]
            if not known:
                return "The price of none of these is known."
            first, last = known[0], known[-1]
            dearest = f", the dearest {last.model} at {say_usd(last.estimated_cost_usd)}" if len(known) > 1 else ""
            return f"The cheapest is {first.model} at {say_usd(first.estimated_cost_usd)}{dearest}."
        if self.basis == "unknown":
            return "Its price is not known."
        if self.estimated_cost_usd == "unknown":
            return "The cost depends on something that is not known beforehand."
        whose = f" ({DIFFERS[self.basis]})" if self.basis in DIFFERS else ""
        return f"About {say_usd(self.estimated_cost_usd)}{whose}."


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Text(_Closed):
    """The size of a request to a language model. `max_tokens` bounds each answer: there are `n` answers to each of
    `rows` requests (more than one in a batch). `output_tokens` counts all answers to one request together."""

    prompt: str | None = None
    prompt_tokens: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    output_tokens: int | None = Field(default=None, ge=0)
    n: int = Field(default=1, ge=1)
    rows: int = Field(default=1, ge=1)


class _Machine(_Closed):
    """The size of a machine: `count` cards of an instance, or `workers` of an endpoint with `count` cards each."""

    hours: Decimal | None = Field(default=None, gt=0)
    count: int = Field(default=1, ge=1)
    billing: Billing = "onDemand"
    months: int | None = Field(default=None, ge=1)
    workers: int | None = Field(default=None, ge=1)


@models.tool("Estimate a cost", READS)
async def estimate_cost(
    call: Call,
    model: Annotated[str | None, Field(description="Id of a model, or product_id or name of a GPU.")] = None,
    models: Annotated[list[str] | None, Field(max_length=20, description="Several ids, to compare.")] = None,
    count: Annotated[int, Field(ge=1, description="How many, such as 20 clips.")] = 1,
    arguments: Annotated[
        dict[str, Any] | None,
        Field(description="What its tool takes: duration, sound; prompt_tokens, output_tokens, rows; hours, workers."),
    ] = None,
) -> CostEstimate:
    """How much would it cost, how expensive is it? Price, quote or estimate beforehand, in USD, before anything is
    run or started: pictures, clips, speech, tokens of a language model, batches, hours or days of a GPU or
    endpoint; several models side by side. It may say unknown, which is not free. Money already spent: get_bill.
    Free; nothing is made or rented.
    """
    wanted = list(
        dict.fromkeys(each.strip() for each in (*([model] if model else []), *(models or ())) if each.strip())
    )
    if not wanted:
        raise InputError("Give model, or models to compare", next_step="list_media_models and list_models show them.")
    members = [await _family(call, each) or (each,) for each in wanted]
    if models is None and len(members[0]) == 1:
        return times(await estimate_of(call, members[0][0], arguments or {}), count)
    lines = [line for names in members for line in await _lines_of(call, names, arguments or {}, count)]
    lines.sort(key=lambda line: (line.estimated_cost_usd == "unknown", _number(line.estimated_cost_usd)))
    return CostEstimate(
        model=lines[0].model,
        estimated_cost_usd=lines[0].estimated_cost_usd,
        basis=cast(Any, lines[0].basis),
        note=f"{len(lines)} compared{f', {count} of each' if count > 1 else ''}; the cheapest first.",
        table=tuple(lines),
    )


_MOST_OF_A_FAMILY = 8


async def _family(caller: Caller, name: str) -> tuple[str, ...]:
    """The available models whose names begin with `name`, such as `kling` or `llama-3.3-70b`. None for a full name."""
    key = key_of(name)
    if len(key) < 4 or key in catalog().by_key:
        return ()
    listed = await listed_models(caller.novita, caller.app.journal)
    if any(key in (key_of(model.id), key_of(_own_name(model.id))) for model in listed):
        return ()
    media = [model for model in advised(media_models()) if key_of(model.id).startswith(key)]
    sure = [model.id for model in media if model.state == "live"] or [model.id for model in media]
    found = (*sure, *(model.id for model in listed if key_of(_own_name(model.id)).startswith(key)))
    return found if len(found) <= _MOST_OF_A_FAMILY else ()


def _own_name(id: str) -> str:
    """The part of an id after the maker: `llama-3.3-70b` of `meta-llama/llama-3.3-70b`."""
    return id.rpartition("/")[2]


async def _lines_of(
    caller: Caller, names: tuple[str, ...], arguments: Mapping[str, Any], count: int
) -> list[EstimateLine]:
    """An estimate for one model, or for each model of a family. If some models of the family accept the arguments, the
    others are left out.
    """
    lines = [await _line_of(caller, each, arguments, count) for each in names]
    return [line for line in lines if line.basis != "unknown"] or lines


async def _line_of(caller: Caller, model: str, arguments: Mapping[str, Any], count: int) -> EstimateLine:
    """The estimate for one of several models. If it fails, its line says why, and the other lines are not affected."""
    try:
        found = times(await estimate_of(caller, model, arguments), count)
    except (InputError, UnknownModelError) as error:
        why = f"{error.what.rstrip('.')}. {error.next_step}".strip()
        return EstimateLine(model=model[:80], estimated_cost_usd="unknown", basis="unknown", note=why)
    return EstimateLine(
        model=found.model,
        estimated_cost_usd=found.estimated_cost_usd,
        each_usd=found.each_usd,
        basis=found.basis,
        price_row=found.price_row,
        note=found.note,
    )


def _number(shown: str) -> Decimal:
    return Decimal(0) if shown == "unknown" else Decimal(shown)


def times(found: CostEstimate, count: int) -> CostEstimate:
    """The estimate for `count` equal calls."""
    if count == 1:
        return found
    known = found.estimated_cost_usd != "unknown"
    update = {
        "estimated_cost_usd": show_usd(Decimal(found.estimated_cost_usd) * count) if known else "unknown",
        "each_usd": found.estimated_cost_usd,
        "note": f"{counted(count, 'time')}: {found.note}",
    }
    return found.model_copy(update=update)


async def estimate_of(caller: Caller, model: str, arguments: Mapping[str, Any]) -> CostEstimate:
    """The estimate for a media model, a language model, or a machine's product_id or name.

    Raises:
        UnknownModelError: The name is none of these. The text offers the nearest names.
        InputError: An argument does not belong to the model or machine.
    """
    unknown: list[UnknownModelError] = []
    await up_to_date(caller)
    try:
        return _media(caller, media_model(model), arguments)
    except UnknownModelError as error:
        unknown.append(error)
    try:
        return _text(
            find_model(await listed_models(caller.novita, caller.app.journal), model), _read(_Text, arguments, model)
        )
    except UnknownModelError as error:
        unknown.append(error)
    found = await _machine(caller, model, arguments)
    if found is not None:
        return found
    if (newcomer := await offered(caller, model)) is not None:
        return _media(caller, newcomer, arguments)
    hints = " ".join(dict.fromkeys(error.next_step for error in unknown if error.next_step))
    raise UnknownModelError(
        f"{model[:80]!r} is no media model, language model or machine",
        next_step=f"{hints} Machines: list_gpu_products.".strip(),
    )


def _media(caller: Caller, model: MediaModel, arguments: Mapping[str, Any]) -> CostEstimate:
    found = price_of(model, arguments)
    note = found.note
    limited = caller.app.jobs.caps.counted(found)
    if found.usd != limited:
        note += f" Spending limits count it as {say_usd(limited)}."
    return CostEstimate(
        model=model.id,
        estimated_cost_usd=show_price(found.usd),
        basis=found.basis,
        note=note,
        price_row=price_row_of(model, arguments) or None,
    )


def _text(model: LlmModel, asked: _Text) -> CostEstimate:
    """The cost of all tokens that were named. If they do not fit into one call, the estimate says so and still counts
    all of them.
    """
    prompt = count_tokens(asked.prompt or "") if asked.prompt_tokens is None else asked.prompt_tokens
    # A text longer than the context goes in several prompts, and the price may depend on the length of each.
    parts = max(1, math.ceil(prompt / model.context)) if model.context else 1
    band = model.band(math.ceil(prompt / parts))
    makes = model.kind == "chat"
    if asked.output_tokens is not None:
        made = asked.output_tokens
    else:
        made = (asked.max_tokens or min(USUAL_TOKENS, model.max_output or USUAL_TOKENS)) * asked.n
    made = made if makes else 0
    known = band.input is not None and (not made or band.output is not None)
    usd = (prompt * (band.input or 0) + made * (band.output or 0)) / Decimal(1_000_000) if known else None
    roughly = "" if asked.prompt_tokens is not None else ", counted roughly"
    rates = say_exactly(band.input) + (f" read and {say_exactly(band.output)} made" if makes else "")
    limit = "" if asked.output_tokens is not None else "at most "
    note = f"{counted(prompt, 'token')} read{roughly}" + (f" and {limit}{made} made" if makes else "")
    age = f"as of {model.seen}, since it cannot be read now" if model.seen else "now"
    often = f", {counted(asked.rows, 'time')}" if asked.rows > 1 else ""
    note += f"{often}, by Novita's list {age}: {rates} per million tokens."
    return CostEstimate(
        model=model.id,
        estimated_cost_usd=show_price(None if usd is None else usd * asked.rows),
        basis="unknown" if usd is None else "live",
        note=f"{note}{_limits(model, asked, parts, made)}",
        price_row=f"prompts of {counted(band.start, 'token')} or more" if len(model.bands) > 1 else None,
    )


def _limits(model: LlmModel, asked: _Text, parts: int, made: int) -> str:
    """A remark on what does not fit into one call. It does not change the cost."""
    remark = ""
    if parts > 1:
        remark += f" A prompt holds {counted(model.context or 0, 'token')}: {counted(parts, 'prompt')}."
    answers = asked.n if asked.output_tokens is None else 1
    if model.max_output and made > model.max_output * answers:
        needed = counted(math.ceil(made / model.max_output), "answer")
        remark += f" One answer ends at {counted(model.max_output, 'token')}: {needed}."
    return remark


async def _machine(caller: Caller, wanted: str, arguments: Mapping[str, Any]) -> CostEstimate | None:
    """The estimate for an endpoint's workers if `workers` is given, else for an instance. None if no product fits."""
    name = wanted.strip().casefold()
    if "workers" in arguments:
        asked = _read(_Machine, arguments, wanted)
        for worker in await list_offers(caller.novita):
            if name in (worker.id.casefold(), worker.name.casefold()):
                many = (asked.workers or 1) * asked.count
                hourly = worker.usd_per_hour * many if worker.usd_per_hour is not None else None
                size = f"{counted(asked.workers or 1, 'worker')} of {counted(asked.count, 'card')}"
                return _hourly(f"{worker.name}, {size}", hourly, asked, "")
        return None
    plain = {name: value for name, value in arguments.items() if name in _Machine.model_fields}
    asked = _read(_Machine, plain, wanted)
    months = (asked.months or 1) if asked.billing == "monthly" else None
    wish = MachineWish(count=asked.count, billing=asked.billing, months=months)
    offers = await find_offers(caller.novita, wish, in_stock=False)
    for offer in offers:  # the cheapest first
        if name in (offer.product.id.casefold(), offer.product.name.casefold()):
            _read(_Machine, arguments, wanted)  # it is a machine, so refuse arguments that are not for machines
            return _offered(offer, asked)
    for cpu in await list_cpu_products(caller.novita):
        if name in (cpu.id.casefold(), cpu.name.casefold()):
            _read(_Machine, arguments, wanted)
            if asked.count != 1 or asked.billing != "onDemand":
                raise InputError(f"{cpu.name or cpu.id} has no cards and is billed onDemand only")
            stock = "" if cpu.available_deploy else " Out of stock now."
            return _hourly(f"{cpu.name} ({cpu.id})", None if cpu.price is None else cpu.price * RAW, asked, stock)
    return None


def _offered(offer: MachineOffer, asked: _Machine) -> CostEstimate:
    name = f"{offer.product.name} x{offer.count} ({offer.product.id}), billed {offer.billing}"
    stock = "" if offer.in_stock else " Out of stock now."
    if offer.billing != "monthly":
        return _hourly(name, offer.usd_per_hour, asked, stock)
    return CostEstimate(
        model=name,
        estimated_cost_usd=show_price(offer.term_usd),
        basis="unknown" if offer.term_usd is None else "live",
        note=f"{counted(offer.months or 1, 'month')} in advance, by {PRICE_SOURCE}.{stock}",
        usd_per_hour=_shown(offer.usd_per_hour, 1),
        usd_per_day=_shown(offer.usd_per_hour, 24),
        usd_per_month=_shown(offer.usd_per_hour, HOURS_A_MONTH),
    )


def _hourly(name: str, usd: Decimal | None, asked: _Machine, more: str) -> CostEstimate:
    hours = asked.hours or Decimal(1)
    return CostEstimate(
        model=name,
        estimated_cost_usd="unknown" if usd is None else show_usd(usd * hours),
        basis="unknown" if usd is None else "live",
        note=f"{counted(hours, 'hour')} while it runs, by {PRICE_SOURCE}; disk above the free part is extra.{more}",
        usd_per_hour=_shown(usd, 1),
        usd_per_day=_shown(usd, 24),
        usd_per_month=_shown(usd, HOURS_A_MONTH),
    )


def _shown(usd: Decimal | None, hours: int) -> str | None:
    return None if usd is None else show_usd(round(usd * hours, 4))


def _read(kind: type[A], arguments: Mapping[str, Any], model: str) -> A:
    try:
        return kind.model_validate(dict(arguments))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:4]
        )
        raise InputError(
            f"For {model[:80]} these arguments do not fit: {wrong}",
            next_step=f"Known here: {', '.join(kind.model_fields)}.",
        ) from error
