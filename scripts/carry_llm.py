"""Write the request schemas of the text routes. Reads novita-api/llm.yaml; writes novita/text/request_schemas.json.

    python scripts/carry_llm.py ../shared/novita-api            write
    python scripts/carry_llm.py ../shared/novita-api --check    exit 1 if the file differs

The script keeps only what is needed to check a request. It writes references out, and drops descriptions, sources and
defaults. Defaults are not needed, because a field that a call does not give is not sent.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, cast

import yaml

TARGET = Path(__file__).resolve().parent.parent / "novita" / "text" / "request_schemas.json"
ROUTES = {
    "chat": "/openai/v1/chat/completions",
    "completion": "/openai/v1/completions",
    "exa_search": "/v3/exa/search",
    "exa_contents": "/v3/exa/contents",
    "tavily_search": "/v3/tavily/search",
    "tavily_extract": "/v3/tavily/extract",
}
LEFT_BEHIND = ("description", "discriminator", "default", "format", "additionalProperties")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facts", type=Path, help="folder with llm.yaml")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if the file differs")
    options = parser.parse_args()
    facts = yaml.safe_load((options.facts / "llm.yaml").read_text(encoding="utf-8"))
    text = json.dumps(carried(facts), indent=1, ensure_ascii=False) + "\n"
    if options.check:
        same = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        print("same" if same else f"{TARGET.name} differs")
        return 0 if same else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


def carried(facts: dict[str, Any]) -> dict[str, Any]:
    """Route name -> request schema."""
    components = facts["components"]["schemas"]
    found: dict[str, Any] = {}
    for name, path in ROUTES.items():
        body = facts["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        found[name] = trimmed(body, components)
    return found


def trimmed(schema: Any, components: dict[str, Any]) -> Any:
    """A schema with references written out, without what only a reader needs."""
    if isinstance(schema, list):
        return [trimmed(item, components) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = cast("dict[str, Any]", schema)
    if "$ref" in node:
        return trimmed(components[str(node["$ref"]).rsplit("/", 1)[1]], components)
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            made[key] = {name: trimmed(inner, components) for name, inner in value.items()}
        elif key == "enum" and node.get("x-enum-open"):
            continue
        elif key == "additionalProperties" and isinstance(value, dict):
            made[key] = trimmed(value, components)
        elif key not in LEFT_BEHIND and not key.startswith("x-"):
            made[key] = value if key in ("enum", "const", "required") else trimmed(value, components)
    return made


if __name__ == "__main__":
    sys.exit(main())
