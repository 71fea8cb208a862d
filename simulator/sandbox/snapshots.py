"""The control plane's routes for templates and snapshots."""

from starlette.responses import JSONResponse, Response

from .ask import Ask, Json, moment, page
from .state import BuiltTemplate, SimulatedSandbox, facts, fault


async def take(ask: Ask, sandbox: SimulatedSandbox, name: str) -> BuiltTemplate:
    content = await ask.state.machine(sandbox).save()
    base = sandbox.template
    id = ask.state.world.new_id("snap")
    return ask.state.add_template(
        BuiltTemplate(
            id,
            name or id,
            base.cpu,
            sandbox.memory_mb,
            base.disk_mb,
            base.interpreter,
            owner=ask.account,
            created=ask.now,
            source=sandbox.id,
            content=content,
        )
    )


async def create_snapshot(ask: Ask) -> Response:
    body = ask.body()
    body.only("name")
    template = await take(ask, ask.running(), body.text("name"))
    return JSONResponse({"snapshotID": template.id, "names": [template.name]}, 201)


async def list_snapshots(ask: Ask) -> Response:
    wanted = ask.query.get("sandboxID")
    found = [
        each
        for each in ask.state.templates.values()
        if each.is_snapshot and each.owner is ask.account and wanted in (None, each.source)
    ]
    return page(ask, found[::-1], lambda each: {"snapshotID": each.id, "names": [each.name]})


def _template(each: BuiltTemplate) -> Json:
    return {
        "templateID": each.id,
        "buildID": each.builds[-1] if each.builds else f"build-{each.id}",
        "names": [each.name],
        "aliases": [each.name],
        "public": each.owner is None,
        "buildStatus": "ready",
        "cpuCount": each.cpu,
        "memoryMB": each.memory_mb,
        "diskSizeMB": each.disk_mb,
        "envdVersion": facts()["envd_version"],
        "spawnCount": each.spawned,
        "buildCount": max(1, len(each.builds)),
        "createdAt": moment(each.created),
        "updatedAt": moment(each.created),
        "lastSpawnedAt": moment(each.last_spawned) if each.last_spawned is not None else None,
        "createdBy": None,
    }


async def list_templates(ask: Ask) -> Response:
    kind = ask.query.get("template_type", "template_build")
    if kind not in ("template_build", "snapshot_template"):
        raise fault(400, "Invalid format for parameter template_type")
    page, limit = ask.number("page", 1, 1, 10**6), ask.number("limit", 20, 1, 100)
    found = [
        each
        for each in ask.state.templates.values()
        if each.is_snapshot == (kind == "snapshot_template") and each.owner in (None, ask.account)
    ]
    rows = [_template(each) for each in found[(page - 1) * limit : page * limit]]
    pages = -(-len(found) // limit)
    return JSONResponse({"templates": rows, "total": len(found), "page": page, "limit": limit, "totalPages": pages})


async def get_template(ask: Ask) -> Response:
    found = ask.state.template(ask.account, ask.path[0])
    return JSONResponse(_template(found) | {"builds": []})


async def get_alias(ask: Ask) -> Response:
    for each in ask.state.templates.values():
        if each.name == ask.path[0]:
            if each.owner not in (None, ask.account):
                raise fault(403, "the alias belongs to another account")
            return JSONResponse({"templateID": each.id, "public": each.owner is None})
    raise fault(404, f"alias '{ask.path[0]}' not found")


async def delete_template(ask: Ask) -> Response:
    found = ask.state.template(ask.account, ask.path[0])
    if found.owner is None:
        raise fault(403, "an official template cannot be deleted")
    del ask.state.templates[found.id]
    return Response(status_code=204)
