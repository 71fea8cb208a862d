"""Complete server.json for the MCP registry with what only a release has: repository, bundles with checksums, image.

Run as `python scripts/registry.py --repository https://github.com/OWNER/NAME --image ghcr.io/OWNER/novita-mcp` after
scripts/release.py. It writes dist/server.json. The server.json in the repository names only PyPI, because it must not
point to anything that is not released. docs/releasing.md says which steps need the owner's accounts.
"""

import argparse
import copy
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
SOURCES = {"github.com": "github", "gitlab.com": "gitlab"}


class RegistryProblem(Exception):
    """The registry would refuse the entry; the message says why."""


def entry(server: dict[str, Any], *, repository: str, image: str, bundles: Sequence[Path]) -> dict[str, Any]:
    """server.json with everything that can be installed.

    Args:
        repository: The repository's address, https://github.com/OWNER/NAME.
        image: Name of the container image without a tag, such as ghcr.io/OWNER/novita-mcp.
        bundles: The packed .mcpb files.

    Raises:
        RegistryProblem: The server's name does not belong to the owner, or an address is not valid.
    """
    where = urlsplit(repository.rstrip("/"))
    owner, _, name = where.path.strip("/").partition("/")
    if where.scheme != "https" or where.hostname not in SOURCES or not owner or not name or "/" in name:
        raise RegistryProblem(f"{repository} is no repository the registry knows: https://github.com/OWNER/NAME")
    if where.hostname == "github.com" and not server["name"].lower().startswith(f"io.github.{owner.lower()}/"):
        raise RegistryProblem(
            f"who owns {repository} may publish io.github.{owner}/..., not {server['name']}: change the name in "
            "server.json, the mcp-name of README.md and the label of the Dockerfile"
        )
    if ":" in image.rpartition("/")[2] or "/" not in image:
        raise RegistryProblem(f"{image} is no name of an image with its registry and without a tag")
    made = copy.deepcopy(server)
    made["repository"] = {"url": repository.rstrip("/"), "source": SOURCES[where.hostname]}
    shared = {
        "transport": {"type": "stdio"},
        "environmentVariables": server["packages"][0]["environmentVariables"],
    }
    release = f"{repository.rstrip('/')}/releases/download/v{server['version']}"
    for bundle in bundles:
        made["packages"].append(
            {
                "registryType": "mcpb",
                "identifier": f"{release}/{bundle.name}",
                "fileSha256": hashlib.sha256(bundle.read_bytes()).hexdigest(),
                **shared,
            }
        )
    # For an image the version is only in the tag.
    made["packages"].append({"registryType": "oci", "identifier": f"{image}:{server['version']}", **shared})
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Write dist/server.json. Returns the exit code: 2 if the registry would refuse the entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", required=True, help="https://github.com/OWNER/NAME")
    parser.add_argument("--image", required=True, help="without a tag, e.g. ghcr.io/OWNER/novita-mcp")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    given = parser.parse_args(arguments)
    bundles = sorted(given.dist.glob("*.mcpb"))
    if not bundles:
        print(f"no bundles in {given.dist}: python scripts/release.py makes them", file=sys.stderr)
        return 2
    server: dict[str, Any] = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    try:
        made = entry(server, repository=given.repository, image=given.image, bundles=bundles)
    except RegistryProblem as problem:
        print(problem, file=sys.stderr)
        return 2
    target = given.dist / "server.json"
    target.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    print(f"{target}: {len(made['packages'])} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
