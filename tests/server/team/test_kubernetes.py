"""deploy/kubernetes says what Kubernetes takes, what the server takes, and what keeps a cluster safe from it.

No cluster runs here: the manifests are checked against Kubernetes' own schemas, which a package carries, and are read.
"""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from novita_mcp.server.flags import read
from novita_mcp.server.http import http_app, web_server
from novita_mcp.server.settings import Settings, read_settings

from ...serving import serve_asgi

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
NAME = {"app.kubernetes.io/name": "novita-mcp"}
SECRET = {
    "NOVITA_MCP_JOURNAL": "postgresql://novita:secret@postgres/novita",
    "NOVITA_MCP_HANDLE_KEYS": "x" * 32,
    "NOVITA_MCP_OPERATOR_TOKEN": "y" * 32,
    "NOVITA_MCP_VAULT_KEYS": "z" * 32,
    "NOVITA_MCP_TEAM_KEY": "sk_of-the-team",
    "NOVITA_MCP_OAUTH_CLIENT_SECRET": "a client's",
}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="away from the source")


@pytest.fixture(scope="module")
def manifests() -> dict[str, dict[str, Any]]:
    """Kind -> manifest; every file holds one."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    assert sorted(kustomization["resources"]) == sorted(
        path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"
    )
    found = [yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")) for name in kustomization["resources"]]
    return {each["kind"]: each for each in found}


@pytest.fixture
def pod(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return manifests["Deployment"]["spec"]["template"]["spec"]


@pytest.mark.filterwarnings("ignore")  # of the package that carries the schemas
@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_kubernetes_takes_every_manifest(manifests: dict[str, dict[str, Any]], version: str) -> None:
    import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]

    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, version, strict=True)  # pyright: ignore[reportUnknownMemberType]
    broken: dict[str, Any] = {**manifests["Service"], "spec": {"prots": "http"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)  # pyright: ignore[reportUnknownMemberType]


def test_all_that_is_needed_is_there_and_means_the_same_pods(manifests: dict[str, dict[str, Any]]) -> None:
    assert set(manifests) == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }
    assert {each["metadata"]["name"] for each in manifests.values()} == {"novita-mcp"}
    deployment = manifests["Deployment"]["spec"]
    assert deployment["template"]["metadata"]["labels"] == deployment["selector"]["matchLabels"] == NAME
    assert manifests["Service"]["spec"]["selector"] == NAME
    assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == NAME
    assert manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == NAME
    scaling = manifests["HorizontalPodAutoscaler"]["spec"]
    assert "replicas" not in deployment, "the autoscaler's number would be undone by every apply"
    assert scaling["minReplicas"] > manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"]
    assert scaling["scaleTargetRef"]["kind"] == "Deployment"


def test_the_server_takes_its_settings_and_secrets_come_by_reference(
    manifests: dict[str, dict[str, Any]], pod: dict[str, Any]
) -> None:
    (container,) = pod["containers"]
    secret = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each}
    plain = manifests["ConfigMap"]["data"]
    settings = read_settings(plain | SECRET, vars(read(container["args"])))

    assert all(reference == {**reference, "name": "novita-mcp", "key": name} for name, reference in secret.items())
    known = {item.metadata["env"]: item.metadata["secret"] for item in fields(Settings)}
    assert set(SECRET) == {name for name in secret if name.startswith("NOVITA")}
    assert all(known[name] for name in SECRET)
    assert not any(known[name] for name in plain)
    assert not [each for each in container["env"] if "value" in each and each["name"] != "HOME"]
    assert "NOVITA_API_KEY" not in plain | secret
    assert (settings.host, settings.port) == ("0.0.0.0", container["ports"][0]["containerPort"])
    assert 0 < settings.drain_seconds < pod["terminationGracePeriodSeconds"]
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    assert all(name in page for name in secret)


def test_the_pod_may_do_nothing_but_its_work(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    user = re.search(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert user is not None
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    limits = container["securityContext"]
    assert limits["readOnlyRootFilesystem"] is True
    assert limits["allowPrivilegeEscalation"] is False
    assert limits["capabilities"] == {"drop": ["ALL"]}
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert set(mounts) == {"/data", "/tmp"}
    assert set(mounts.values()) == {each["name"] for each in pod["volumes"]}
    assert all("sizeLimit" in each["emptyDir"] for each in pod["volumes"])
    assert set(container["resources"]["requests"]) >= {"cpu", "memory"}
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert container["resources"]["limits"]["memory"] == f"{compose['x-copy']['mem_limit'].removesuffix('g')}Gi"


def test_nobody_comes_in_but_by_the_port_and_nothing_goes_to_the_cluster(manifests: dict[str, dict[str, Any]]) -> None:
    policy = manifests["NetworkPolicy"]["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == [8000]
    (world,) = [peer["ipBlock"] for rule in policy["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(world["except"])


def test_the_probes_ask_what_the_server_answers(pod: dict[str, Any], settings: Settings) -> None:
    (container,) = pod["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    with serve_asgi(http_app(web_server(settings), settings)) as url:
        # The kubelet names the pod's own address.
        answers = [httpx.get(url + path, headers={"Host": "10.1.2.3:8000"}) for path in {*probes.values(), "/metrics"}]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
