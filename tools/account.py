"""Account tools: what is left."""

from pydantic import Field

from ..novita.account import get_balance as read_balance
from ..novita.money import show_usd
from .context import Call
from .toolset import READS, ToolResult, Toolset

account = Toolset("account", "Balance and bills.")


class BalanceResult(ToolResult):
    """The wallet, in USD."""

    available_usd: str = Field(description="Credit that can be spent now.")
    cash_usd: str = Field(description="What is left of the top-ups.")
    credit_limit_usd: str = Field(description="Largest amount that may be owed.")
    owed_usd: str = Field(description="Outstanding invoices.")
    raw: dict[str, str] = Field(description="As Novita sent it, in units of 0.0001 USD.")

    def headline(self) -> str:
        return f"${self.available_usd} can be spent."


@account.tool("Get the balance", READS)
async def get_balance(call: Call) -> BalanceResult:
    """How much credit is left, in USD. Free. Shows too whether an unclear call was billed."""
    balance = await read_balance(call.novita)
    return BalanceResult(
        available_usd=show_usd(balance.available),
        cash_usd=show_usd(balance.cash),
        credit_limit_usd=show_usd(balance.credit_limit),
        owed_usd=show_usd(balance.owed),
        raw=balance.raw,
    )
