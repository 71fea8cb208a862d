"""The wallet of the account: what can still be spent."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from ..core.answers import an_object
from ..core.client import NovitaClient
from ..core.errors import NovitaConnectionError
from ..core.money import usd_from_billing


class Balance(BaseModel):
    """The wallet in USD. Source: GET /openapi/v1/billing/balance/detail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    available: Decimal = Field(description="Credit that can be spent now.")
    cash: Decimal = Field(description="What is left of the top-ups.")
    credit_limit: Decimal = Field(description="Largest amount that may be owed.")
    owed: Decimal = Field(description="Outstanding invoices.")
    raw: dict[str, str] = Field(description="The numbers as Novita sent them, in units of 0.0001 USD.")


async def get_balance(client: NovitaClient) -> Balance:
    """Read the wallet.

    Raises:
        NovitaConnectionError: The answer has no balance in it.
    """
    answer = await client.read(
        "GET", "/openapi/v1/billing/balance/detail", doing="reading the balance", group="billing"
    )
    data = an_object(answer.data)
    raw = {name: str(data[name]) for name in _FIELDS if data.get(name) is not None}
    if "availableBalance" not in raw:
        raise NovitaConnectionError("Novita's answer about the balance has no balance in it")
    try:
        amounts = {ours: usd_from_billing(raw.get(theirs, "0")) for theirs, ours in _FIELDS.items()}
    except ValueError as error:
        raise NovitaConnectionError(f"Novita's answer about the balance is {error}") from error
    return Balance(**amounts, raw=raw)


_FIELDS = {
    "availableBalance": "available",
    "cashBalance": "cash",
    "creditLimit": "credit_limit",
    "outstandingInvoices": "owed",
}
