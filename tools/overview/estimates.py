"""What a call would cost: media by the catalogue, language models and machines by Novita's live price lists."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...novita.core.costs import DIFFERS, Cost
from ...novita.core.errors import InputError, UnknownModelError
from ...novita.core.money import say_usd, show_price, show_usd
from ...novita.gpu.products import PRICE_SOURCE, RAW, Billing, MachineOffer, MachineWish, find_offers, list_cpu_products
from ...novita.media.lookup import media_model
from ...novita.media.mapping import price_of
from ...novita.serverless.endpoints import list_offers
from ...novita.text.kept_list import listed_models
from ...novita.text.language_models import LlmModel, count_tokens, find_model
from ..kit.context import Call, Caller
from ..kit.toolset import READS, ToolResult
from ..media.freshness import up_to_date
from ..media.media_models import models
from ..media.media_request import offered
from ..text.chat_request import USUAL_TOKENS

HOURS_A_MONTH = 720

A = TypeVar("A", bound=BaseModel)


class CostEstimate(ToolResult):
    """What a call would cost."""

    model: str = Field(description="What it was reckoned for.")
    estimated_cost_usd: str = Field(description="USD, or unknown.")
    basis: Literal["documented", "maker", "third_party", "live", "unknown"] = Field(
        description="Whose price it is: Novita's own, the maker's, somebody else's, or Novita's list as it is now."
    )
    note: str = Field(description="How it was reckoned.")
    usd_per_hour: str | None = Field(default=None, description="Of a machine that runs.")
    usd_per_day: str | None = Field(default=None, description="Of a machine that runs.")
    usd_per_month: str | None = Field(default=None, description="Of 30 days.")

    def headline(self) -> str:
        if self.basis == "unknown":
            return "Nobody says what it costs."
        if self.estimated_cost_usd == "unknown":
            return "What it costs depends on what is not known beforehand."
        whose = f" ({DIFFERS[self.basis]})" if self.basis in DIFFERS else ""
        return f"About {say_usd(Decimal(self.estimated_cost_usd))}{whose}."


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Text(_Closed):
    """What a language model is asked: `max_tokens` is for each of `rows` (a batch) times `n` answers."""

    prompt: str | None = None
    prompt_tokens: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    n: int = Field(default=1, ge=1)
    rows: int = Field(default=1, ge=1)


class _Machine(_Closed):
    """How much of a machine: `count` cards of an instance, or `workers` of an endpoint with `count` cards each."""

    hours: Decimal | None = Field(default=None, gt=0)
    count: int = Field(default=1, ge=1)
    billing: Billing = "onDemand"
    months: int | None = Field(default=None, ge=1)
    workers: int | None = Field(default=None, ge=1)


@models.tool("Estimate a cost", READS)
async def estimate_cost(
    call: Call,
    model: Annotated[str, Field(description="Model id, or GPU product_id or name.")],
    arguments: Annotated[
        dict[str, Any] | None,
        Field(description="As its tool takes: duration, count; prompt_tokens, max_tokens, rows; hours, workers."),
    ] = None,
) -> CostEstimate:
    """How much would it cost? Price or quote beforehand, in USD, before anything is started: pictures, clips, speech,
    tokens of a language model, batches, hours of a GPU or endpoint. It may say unknown. Money already spent: get_bill.
    Free; nothing is made or rented.
    """
    return await estimate_of(call, model, arguments or {})


async def estimate_of(caller: Caller, model: str, arguments: Mapping[str, Any]) -> CostEstimate:
    """The estimate for a media model, a language model, or a machine's product_id or name.

    Raises:
        UnknownModelError: It is none of these; names the nearest. InputError: an argument is not for it.
    """
    unknown: list[UnknownModelError] = []
    await up_to_date(caller)
    try:
        return _media(caller, media_model(model).id, price_of(media_model(model), arguments))
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
        return _media(caller, newcomer.id, price_of(newcomer, arguments))
    hints = " ".join(dict.fromkeys(error.next_step for error in unknown if error.next_step))
    raise UnknownModelError(
        f"{model[:80]!r} is no media model, language model or machine",
        next_step=f"{hints} Machines: list_gpu_products.".strip(),
    )


def _media(caller: Caller, model: str, found: Cost) -> CostEstimate:
    note = found.note
    counted = caller.app.jobs.caps.counted(found)
    if found.usd != counted:
        note += f" Spending limits count it as {say_usd(counted)}."
    return CostEstimate(model=model, estimated_cost_usd=show_price(found.usd), basis=found.basis, note=note)


def _text(model: LlmModel, asked: _Text) -> CostEstimate:
    band = model.bands[0]
    prompt = count_tokens(asked.prompt or "") if asked.prompt_tokens is None else asked.prompt_tokens
    makes = model.kind == "chat"
    most = min(asked.max_tokens or USUAL_TOKENS, model.max_output or asked.max_tokens or USUAL_TOKENS) if makes else 0
    usd = model.price(prompt, most * asked.n)
    counted = "" if asked.prompt_tokens is not None else ", counted roughly"
    rates = f"${show_price(band.input)}" + (f" read and ${show_price(band.output)} made" if makes else "")
    note = f"{prompt} tokens read{counted}" + (f" and at most {most * asked.n} made" if makes else "")
    age = f"as of {model.seen}, since it cannot be read now" if model.seen else "now"
    note += f"{f', {asked.rows} times' if asked.rows > 1 else ''}, by Novita's list {age}: {rates} per million tokens."
    return CostEstimate(
        model=model.id,
        estimated_cost_usd=show_price(None if usd is None else usd * asked.rows),
        basis="unknown" if usd is None else "live",
        note=note,
    )


async def _machine(caller: Caller, wanted: str, arguments: Mapping[str, Any]) -> CostEstimate | None:
    """A worker of an endpoint where `workers` are named, else an instance; None where there is no such product."""
    said = wanted.strip().casefold()
    if "workers" in arguments:
        asked = _read(_Machine, arguments, wanted)
        for worker in await list_offers(caller.novita):
            if said in (worker.id.casefold(), worker.name.casefold()):
                many = (asked.workers or 1) * asked.count
                hourly = worker.usd_per_hour * many if worker.usd_per_hour is not None else None
                return _hourly(f"{worker.name}, {asked.workers} workers of {asked.count} cards", hourly, asked, "")
        return None
    plain = {name: value for name, value in arguments.items() if name in _Machine.model_fields}
    asked = _read(_Machine, plain, wanted)
    months = (asked.months or 1) if asked.billing == "monthly" else None
    wish = MachineWish(count=asked.count, billing=asked.billing, months=months)
    offers = await find_offers(caller.novita, wish, in_stock=False)
    for offer in offers:  # the cheapest first
        if said in (offer.product.id.casefold(), offer.product.name.casefold()):
            _read(_Machine, arguments, wanted)  # now that it is known to be a machine, refuse what is not for one
            return _offered(offer, asked)
    for cpu in await list_cpu_products(caller.novita):
        if said in (cpu.id.casefold(), cpu.name.casefold()):
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
        note=f"{offer.months} months in advance, by {PRICE_SOURCE}.{stock}",
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
        note=f"{hours.normalize():f} hours while it runs, by {PRICE_SOURCE}; disk above the free part is extra.{more}",
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
            f"For {model[:80]} these arguments will not do: {wrong}",
            next_step=f"Known here: {', '.join(kind.model_fields)}.",
        ) from error
