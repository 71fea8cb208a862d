"""The people and keys of an account: budgets, and the language models a key may call.

Money is a number here: whole 0.0001 USD.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.responses import Response

from ..core.answers import answer
from ..core.calls import Call, Handler, Json
from ..core.faults import Fault
from ..core.world import Account, World
from .ledger import DAY, lines, slice_of, units


@dataclass
class TeamBudget:
    """A limit on a member or a key; `limit` in 0.0001 USD."""

    kind: str = "Unlimited"
    limit: int = 0
    cycle: str = ""


@dataclass
class Key:
    """One API key of the team."""

    id: str
    string_id: str
    name: str
    masked: str
    member_id: str
    created: float
    budget: TeamBudget = field(default_factory=TeamBudget)
    policy: Json | None = None
    policy_at: int = 0


@dataclass
class Member:
    """One person of the team."""

    id: str
    email: str
    role: str
    name: str
    budget: TeamBudget = field(default_factory=TeamBudget)


class Team:
    """The people and keys of one account: the owner with the key in use, and a developer with another."""

    def __init__(self, account: Account, created: float) -> None:
        owner = Member(f"{account.id}-1", "owner@example.com", "Owner", "Owner")
        developer = Member(f"{account.id}-2", "developer@example.com", "Developer", "Dev")
        self.members = {member.id: member for member in (owner, developer)}
        masked = f"{account.key[:4]}****{account.key[-4:]}"
        self.keys = [
            Key("100001", f"key_{account.id[2:]}", "default", masked, owner.id, created - 300 * DAY),
            Key("100002", f"key_{account.id[2:]}b", "notebook", "sk_d****9f3a", developer.id, created - 40 * DAY),
        ]


class Teams:
    """The team of every account, and what the LLM routes may ask about it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._teams: dict[str, Team] = {}

    def of(self, account: Account) -> Team:
        if account.key not in self._teams:
            self._teams[account.key] = Team(account, self._world.started)
        return self._teams[account.key]

    def allows(self, account: Account, model: str) -> bool:
        """Whether the account's key may call this LLM."""
        policy = self.of(account).keys[0].policy
        if policy is None:
            return True
        if policy["mode"] == "selected":
            return any(entry["id"] == model for entry in policy["allowedModels"])
        return all(entry["id"] != model for entry in policy["excludedModels"])


# Team budgets


def _used(call: Call, member: Member, *, llm_only: bool = False) -> int:
    """What was spent in this world this month, in 0.0001 USD. The owner spent all of it."""
    team = call.world.area(Teams).of(call.account)
    if member is not next(iter(team.members.values())):
        return 0
    since = slice_of(call.world.clock.now(), "Month")[0]
    return units(
        sum(
            line.micro_usd
            for line in lines(call.world, call.account)
            if line.at >= max(since, call.world.started) and (line.category == "llm" or not llm_only)
        )
    )


def _shown(call: Call, budget: TeamBudget, used: int) -> Json:
    shown: Json = {"budget_type": budget.kind, "budget_limit": budget.limit, "used": 0, "remaining": 0}
    if budget.kind != "Unlimited":
        shown |= {"used": used, "remaining": budget.limit - used}
    if budget.kind == "Recurring":
        start, end = slice_of(call.world.clock.now(), "Month")
        shown |= {"cycle": "Monthly", "period_start": _text(start), "period_end": _text(end)}
    return shown


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _member(call: Call, member_id: str) -> Member:
    member = call.world.area(Teams).of(call.account).members.get(member_id)
    if member is None:
        raise call.invalid(f"member_id: no member {member_id}")
    return member


def _key(call: Call, member: Member, key_id: str) -> Key:
    # The documentation does not say whether the number or the text id is meant, so both work.
    for key in call.world.area(Teams).of(call.account).keys:
        if key.member_id == member.id and key_id in (key.id, key.string_id):
            return key
    raise call.invalid(f"key_id: member {member.id} has no key {key_id}")


async def query_member_budgets(call: Call) -> Response:
    members = list(call.world.area(Teams).of(call.account).members.values())
    budgets = [
        {
            "email": member.email,
            "role": member.role,
            "status": "active",
            "member_id": member.id,
            "phone": "",
            "user_id": call.account.id,
            "remark_name": member.name,
            **_shown(call, member.budget, _used(call, member)),
        }
        for member in members
    ]
    limited = sum(member.budget.kind != "Unlimited" for member in members)
    return answer({"member_count": len(members), "budget_count": limited, "budgets": budgets})


async def query_key_budgets(call: Call) -> Response:
    member = _member(call, call.query["member_id"])
    keys = [key for key in call.world.area(Teams).of(call.account).keys if key.member_id == member.id]
    used = _used(call, member, llm_only=True)
    return answer(
        {"key_budgets": [{"key_id": key.id, "key_name": key.name, **_shown(call, key.budget, used)} for key in keys]}
    )


def _budget(call: Call) -> TeamBudget:
    kind = call.body["budget_type"]
    if kind != "Unlimited" and "budget_limit" not in call.body:
        raise call.invalid(f"budget_limit: needed when budget_type is {kind}")
    if kind == "Recurring" and "cycle" not in call.body:
        raise call.invalid("cycle: needed when budget_type is Recurring")
    limit = 0 if kind == "Unlimited" else call.body["budget_limit"]
    return TeamBudget(kind, limit, call.body.get("cycle", ""))


async def update_member_budget(call: Call) -> Response:
    _member(call, call.body["member_id"]).budget = _budget(call)
    return answer({})


async def update_key_budget(call: Call) -> Response:
    _key(call, _member(call, call.body["member_id"]), call.body["key_id"]).budget = _budget(call)
    return answer({})


async def check_budget(call: Call) -> Response:
    """Answers all four questions: whether a member or a key has anything left, or enough for a given cost."""
    member = _member(call, call.body["member_id"])
    budget, used = member.budget, _used(call, member)
    if "key_id" in call.body:
        budget, used = _key(call, member, call.body["key_id"]).budget, _used(call, member, llm_only=True)
    left = budget.limit - used
    enough = left >= call.body["cost"] if "cost" in call.body else left > 0
    return answer({"enough": budget.kind == "Unlimited" or enough})


# Keys and the models they may call


def _counts(policy: Json | None) -> Json:
    if policy is None:
        return {"allowedModelCount": 0, "excludedModelCount": 0}
    return {"allowedModelCount": len(policy["allowedModels"]), "excludedModelCount": len(policy["excludedModels"])}


async def list_api_keys(call: Call) -> Response:
    keys: list[Json] = []
    for key in call.world.area(Teams).of(call.account).keys:
        shown: Json = {
            "name": key.name,
            "id": key.id,
            "stringId": key.string_id,
            "maskedKey": key.masked,
            "memberId": key.member_id,
            "uuid": call.account.id,
            "expireTime": "never",
            "createTime": _text(key.created),
            "lastUsedAt": int(call.world.clock.now()),
        }
        if call.params.get("includePolicySummary"):
            mode = key.policy["mode"] if key.policy else "all_enabled"
            shown["modelAccessPolicy"] = {"mode": mode, **_counts(key.policy)}
        keys.append(shown)
    return answer({"keys": keys})


def _key_in_path(call: Call) -> Key:
    for key in call.world.area(Teams).of(call.account).keys:
        if key.string_id == call.path["stringId"]:
            return key
    raise Fault(403, "FORBIDDEN", "the key does not belong to this team")


def _access(key: Key) -> Response:
    # In the default policy an empty list is sent as null; the documentation says that both mean the same.
    policy: Json = {
        "schemaVersion": 1,
        "productScope": "model_api",
        **(key.policy or {"mode": "all_enabled", "allowedModels": None, "excludedModels": None}),
        "source": {"type": "private_policy" if key.policy else "default"},
    }
    return answer(
        {
            "stringId": key.string_id,
            "policy": policy,
            "policyStatus": "active",
            **_counts(key.policy),
            "updatedAt": key.policy_at,
            "updatedBy": key.member_id if key.policy else "",
        }
    )


async def get_key_model_access_policy(call: Call) -> Response:
    return _access(_key_in_path(call))


async def put_key_model_access_policy(call: Call) -> Response:
    key, mode = _key_in_path(call), call.body["mode"]
    wanted = "allowedModels" if mode == "selected" else "excludedModels"
    models = list({(entry["type"], entry["id"]): entry for entry in call.body.get(wanted, [])}.values())
    if mode == "selected" and not models:
        raise call.invalid("allowedModels: at least one model is needed when mode is selected")
    key.policy = {"mode": mode, "allowedModels": [], "excludedModels": [], wanted: models}
    key.policy_at = int(call.world.clock.now())
    return _access(key)


async def delete_key_model_access_policy(call: Call) -> Response:
    key = _key_in_path(call)
    key.policy, key.policy_at = None, 0
    return answer({})


HANDLERS: dict[str, Handler] = {
    "query_member_budgets": query_member_budgets,
    "query_key_budgets": query_key_budgets,
    "update_member_budget": update_member_budget,
    "update_key_budget": update_key_budget,
    "check_member_budget": check_budget,
    "check_member_budget_by_cost": check_budget,
    "check_key_budget": check_budget,
    "check_key_budget_by_cost": check_budget,
    "list_api_keys": list_api_keys,
    "get_key_model_access_policy": get_key_model_access_policy,
    "put_key_model_access_policy": put_key_model_access_policy,
    "delete_key_model_access_policy": delete_key_model_access_policy,
}
