"""Write the documented facts of Novita's API into this repository.

Reads novita-api/*.yaml; writes simulator/core/documentation/*.json, and states.json, prices.json and voices.json of
novita/media/catalog/.

    python scripts/carry_facts.py ../shared/novita-api            write
    python scripts/carry_facts.py ../shared/novita-api --check    exit 1 and name the files that differ

The script keeps everything against which a request or an answer is checked, and drops what only a reader needs
(descriptions, sources, doubts). It merges `allOf` of object schemas, so that the simulator can forbid unknown fields.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import carry_media
import yaml

AREAS = ("image", "video", "audio", "llm", "gpu", "serverless", "account")
GROUPS = {"image": "media", "video": "media", "audio": "media", "llm": "llm", "gpu": "gpu", "serverless": "gpu"}
ROOT = Path(__file__).resolve().parent.parent

# These keys of an operation are rules; every other x- key is commentary.
CARRIED = (
    "x-task",
    "x-artifact",
    "x-response-kind",
    "x-task-type",
    "x-retired",
    "x-price",
    "x-limits",
    "x-rate-limit",
    "x-supports-webhook",
    "x-pagination",
    "x-stream",
    "x-poll-with",
    "x-effect",
)
DROPPED_FROM_SCHEMAS = ("description", "title", "example", "examples", "discriminator")
KEPT_IN_SCHEMAS = ("x-known-values", "x-raw-slash", "x-secret")

Json = dict[str, Any]


def lean(schema: Any, components: Json) -> Any:
    """A schema without prose and with `allOf` merged. A property that is named like a keyword stays."""
    if isinstance(schema, list):
        return [lean(item, components) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = cast("Json", schema)
    if "allOf" in node:
        node = merged(node, components)
    if node.get("x-enum-open"):
        node = {("x-known-values" if key == "enum" else key): value for key, value in node.items()}
    kept: Json = {}
    for key, value in node.items():
        if key in DROPPED_FROM_SCHEMAS or (key.startswith("x-") and key not in KEPT_IN_SCHEMAS):
            continue
        if key == "properties":
            kept[key] = {name: lean(part, components) for name, part in value.items()}
        elif key in ("enum", "const", "default", "required", *KEPT_IN_SCHEMAS):
            kept[key] = value
        else:
            kept[key] = lean(value, components)
    return kept


def merged(node: Json, components: Json) -> Json:
    """One object schema for an `allOf` of object schemas."""
    whole: Json = {key: value for key, value in node.items() if key != "allOf"}
    properties: Json = {}
    required: list[str] = []
    for part in node["allOf"]:
        found: Json = components[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        if "allOf" in found:
            found = merged(found, components)
        properties |= found.get("properties", {})
        required += [name for name in found.get("required", []) if name not in required]
        whole |= {key: value for key, value in found.items() if key not in ("properties", "required")}
    return whole | {"properties": properties | whole.get("properties", {}), "required": required}


def content(body: Json | None, components: Json) -> Json | None:
    if body is None:
        return None
    return {kind: lean(media.get("schema", {}), components) for kind, media in body.get("content", {}).items()}


def operations(area: str, book: Json) -> Iterator[tuple[str, Json]]:
    components = book.get("components", {}).get("schemas", {})
    for path, item in book["paths"].items():
        for method, operation in item.items():
            facts: Json = {"method": method.upper(), "path": path, "area": area, "group": GROUPS.get(area, "billing")}
            facts["parameters"] = [lean(parameter, components) for parameter in operation.get("parameters", [])]
            facts["request"] = content(operation.get("requestBody"), components)
            facts["request_required"] = operation.get("requestBody", {}).get("required", False)
            facts["responses"] = {
                status: content(answer, components)
                for status, answer in operation["responses"].items()
                if status.startswith("2")
            }
            facts |= {key.removeprefix("x-").replace("-", "_"): operation[key] for key in CARRIED if key in operation}
            if aliases := operation.get("x-aliases"):
                facts["aliases"] = [alias.split(" ")[0] for alias in aliases]
            facts["public"] = {} in operation["security"] if "security" in operation else False
            if servers := operation.get("servers"):
                facts["servers"] = [server["url"] for server in servers]
            yield operation["operationId"], facts


def carried(folder: Path) -> Iterator[tuple[str, str]]:
    """Path and text of every file to write."""
    for area in AREAS:
        book = yaml.safe_load((folder / f"{area}.yaml").read_text())
        schemas = book.get("components", {}).get("schemas", {})
        facts = {
            "operations": dict(operations(area, book)),
            "components": {name: lean(schema, schemas) for name, schema in schemas.items()},
        }
        yield f"simulator/core/documentation/{area}.json", text(facts)
    book = yaml.safe_load((folder / "errors.yaml").read_text())
    kept = ("group", "name", "http_status", "meaning", "retryable")
    yield (
        "simulator/core/documentation/errors.json",
        text({"errors": [{k: row.get(k) for k in kept} for row in book["errors"]]}),
    )
    yield "simulator/core/documentation/prices.json", carry_media.simulated_prices(folder)
    yield "simulator/core/documentation/lifecycle.json", carry_media.simulated_states(folder)
    yield "novita/media/catalog/states.json", carry_media.states(folder)
    yield "novita/media/catalog/prices.json", carry_media.prices(folder)
    yield "novita/media/catalog/voices.json", carry_media.voices(folder)


def text(facts: Json) -> str:
    """JSON with one line for each operation or component, so that files are small and differences are readable."""
    parts: list[str] = []
    for section, value in facts.items():
        if isinstance(value, dict):
            rows = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in cast("Json", value).items()]
            parts.append(f"{json.dumps(section)}: {{\n" + ",\n".join(rows) + "\n}")
        else:
            rows = [json.dumps(row, ensure_ascii=False) for row in value]
            parts.append(f"{json.dumps(section)}: [\n" + ",\n".join(rows) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale: list[str] = []
    for name, wanted in carried(arguments.folder):
        file = ROOT / name
        if arguments.check:
            if not file.exists() or file.read_text(encoding="utf-8") != wanted:
                stale.append(name)
        else:
            file.write_text(wanted, encoding="utf-8")
    if stale:
        print("differs from the source:", ", ".join(stale), file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
