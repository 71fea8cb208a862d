"""Read-only addresses about money."""

from ...novita.account.balance import get_balance
from ..kit.context import Caller
from ..kit.resources import ResourceSpec, as_json


async def _balance(caller: Caller) -> str:
    return as_json((await get_balance(caller.novita)).model_dump(mode="json"))


ACCOUNT_RESOURCES = (ResourceSpec("novita://balance", "Balance", "What credit is left, in USD.", _balance),)
