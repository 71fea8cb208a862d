"""What dry_run shows of calls about machines and endpoints."""

from typing import Any

from ..novita.gpu import Route


def shown_call(route: Route, body: dict[str, Any], **path: str) -> dict[str, Any]:
    """A call as it would go out. Values of variables are hidden: some come from templates, or old settings."""
    return {"method": route.method, "path": route.path.format(**path), "body": _hidden(body)}


def _hidden(body: dict[str, Any]) -> dict[str, Any]:
    if "endpoint" in body:
        return {**body, "endpoint": _hidden(body["endpoint"])}
    if "envs" not in body:
        return body
    return {**body, "envs": [{**row, "value": "(hidden)"} for row in body["envs"]]}


def rehearsed(question: str) -> str:
    """The next step after a dry run."""
    return f"{question} Call again without dry_run to send it."
