"""What is given for deployment fits the settings, and would stop and start as the gateway does."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from waitroom.config import example_file, load, variables
from waitroom.core.errors import ConfigError
from waitroom.serve.task import CLOSE_S, STOP_LIMIT_S, drain_s

CHECKOUT = Path(__file__).parents[2]
K8S = sorted((CHECKOUT / "k8s").rglob("*.yaml"))
BASE, OVERLAY = CHECKOUT / "k8s" / "base", CHECKOUT / "k8s" / "overlays" / "production"
DEPLOY = sorted(path for path in (CHECKOUT / "deploy").rglob("*") if path.is_file())
KUBERNETES = "1.31"
KEY = "k" * 32
GIVEN = {
    "WAITROOM_ORIGIN": "http://127.0.0.1:3000",
    "WAITROOM_RATE": "60/min",
    "WAITROOM_REDIS_URL": "redis://valkey:6379/0",
    "WAITROOM_SECRET": "",
    "WAITROOM_HOST": "0.0.0.0",
    "WAITROOM_WORKERS": "2",
}


def documents(folder: Path = BASE) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name, of the files of one folder."""
    found = (document for path in sorted(folder.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text()))
    return {
        (document["kind"], document.get("metadata", {}).get("name", "")): document for document in found if document
    }


def pod(kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = documents()[kind, name]["spec"]["template"]["spec"]
    return spec


def test_the_example_environment_is_the_one_made_from_the_settings() -> None:
    """To make it anew: write what example_file(GIVEN) returns to deploy/waitroom.env.example."""
    assert (CHECKOUT / "deploy" / "waitroom.env.example").read_text() == example_file(GIVEN)


def test_the_example_environment_wants_nothing_but_a_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        load(GIVEN)
    (fault,) = caught.value.faults

    assert fault.startswith("WAITROOM_SECRET is missing")
    assert load(GIVEN | {"WAITROOM_SECRET": KEY}).workers == 2


@pytest.mark.parametrize("path", [*K8S, *DEPLOY], ids=lambda path: path.name)
def test_every_variable_that_is_named_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"\bWAITROOM_[A-Z_]+\b", path.read_text()))

    assert named - {variable.name for variable in variables()} == set()


@pytest.mark.parametrize("path", K8S, ids=lambda path: path.name)
def test_a_manifest_is_what_kubernetes_takes(path: Path) -> None:
    """By Kubernetes' own schemas, unknown fields refused. What is not Kubernetes' own has none there."""
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] in ("Kustomization", "ServiceMonitor"):
            assert document["apiVersion"] in ("kustomize.config.k8s.io/v1beta1", "monitoring.coreos.com/v1")
        else:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_config_map_of_base_and_overlay_and_a_secret_make_settings() -> None:
    base: dict[str, str] = documents()["ConfigMap", "waitroom"]["data"]
    patch: dict[str, str] = documents(OVERLAY)["ConfigMap", "waitroom"]["data"]

    for given in (base, base | patch):
        settings = load(given | {"WAITROOM_SECRET": KEY})
        assert (settings.host, settings.port, settings.log) == ("0.0.0.0", 8080, "json")
    assert settings.public_url == "https://shop.example"


def test_the_kustomizations_hold_everything_but_the_secret() -> None:
    base, overlay = documents()["Kustomization", ""], documents(OVERLAY)["Kustomization", ""]
    files = {path.name for path in OVERLAY.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}

    assert set(base["resources"]) == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert {*overlay["resources"], *(patch["path"] for patch in overlay["patches"])} == {*files, "../../base"}
    assert documents(OVERLAY)["Secret", "waitroom"]["stringData"] == {"WAITROOM_SECRET": ""}
    (image,) = overlay["images"]
    assert pod("Deployment", "waitroom")["containers"][0]["image"] == f"{image['name']}:{image['newTag']}"


def test_what_names_another_part_names_one_that_is_there() -> None:
    """Selectors, targets and ports across the manifests: a typing error there is found by nobody else."""
    found = documents() | documents(OVERLAY)
    labels = found["Deployment", "waitroom"]["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in pod("Deployment", "waitroom")["containers"][0]["ports"]}
    service = found["Service", "waitroom"]["spec"]
    rules = found["NetworkPolicy", "waitroom"]["spec"]["ingress"]
    ingress = found["Ingress", "waitroom"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]

    assert service["selector"].items() <= labels.items()
    assert {port["targetPort"] for port in service["ports"]} <= ports
    assert found["PodDisruptionBudget", "waitroom"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert found["NetworkPolicy", "waitroom"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert {port["port"] for rule in rules for port in rule["ports"]} == ports
    assert ("Deployment", found["HorizontalPodAutoscaler", "waitroom"]["spec"]["scaleTargetRef"]["name"]) in found
    assert (ingress["name"], ingress["port"]["name"]) == ("waitroom", service["ports"][0]["name"])
    admin, monitor = found["Service", "waitroom-admin"], found["ServiceMonitor", "waitroom"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= admin["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == admin["spec"]["ports"][0]["name"]
    assert admin["spec"]["ports"][0]["targetPort"] in ports


def test_the_pod_knows_no_service_links_and_asks_the_right_probes() -> None:
    """One late answer takes no gateway out: in a flood it would be the same for all of them, and lock out who is in."""
    spec = pod("Deployment", "waitroom")
    (container,) = spec["containers"]

    assert spec["enableServiceLinks"] is False
    assert container["readinessProbe"]["httpGet"]["path"] == "/-/waitroom/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/waitroom/live"
    assert min(container[probe]["failureThreshold"] for probe in ("readinessProbe", "livenessProbe")) > 1
    given = documents()["ConfigMap", "waitroom"]["data"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports == {"http": given["WAITROOM_PORT"], "admin": given["WAITROOM_ADMIN_LISTEN"].rpartition(":")[2]}


def test_the_admin_port_is_never_published_with_the_public_one() -> None:
    """In compose it is bound to the machine itself; in Kubernetes it has a service apart, for monitoring only."""
    gateway = yaml.safe_load((CHECKOUT / "deploy" / "compose.yaml").read_text())["services"]["gateway"]
    services = {name: document["spec"] for (kind, name), document in documents().items() if kind == "Service"}
    rules = documents()["NetworkPolicy", "waitroom"]["spec"]["ingress"]

    assert gateway["ports"] == ["8080:8080", "127.0.0.1:8081:8081"]
    assert gateway["environment"] == {"WAITROOM_ADMIN_LISTEN": "0.0.0.0:8081"}
    assert [port["targetPort"] for port in services["waitroom"]["ports"]] == ["http"]
    assert [port["targetPort"] for port in services["waitroom-admin"]["ports"]] == ["admin"]
    assert services["waitroom-admin"]["clusterIP"] == "None"
    assert [[port["port"] for port in rule["ports"]] for rule in rules if "from" not in rule] == [["http"]]
    assert [[port["port"] for port in rule["ports"]] for rule in rules if "from" in rule] == [["admin"]]


def test_a_stop_is_given_longer_than_it_takes() -> None:
    settings = load({"WAITROOM_ORIGIN": "http://shop", "WAITROOM_ORDER_ROUTES": "POST /order"}, needs=())
    stop_s = settings.stop_delay / 1000 + STOP_LIMIT_S + drain_s(settings) + 2 * CLOSE_S
    compose = yaml.safe_load((CHECKOUT / "deploy" / "compose.yaml").read_text())

    assert pod("Deployment", "waitroom")["terminationGracePeriodSeconds"] > stop_s
    assert int(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > stop_s


def test_commands_find_the_embedded_redis_of_the_unit() -> None:
    """Its socket stands in the temporary folder, and the unit's own /tmp is seen by nobody else."""
    lines = (CHECKOUT / "deploy" / "waitroom.service").read_text().splitlines()

    assert {"PrivateTmp=yes", "RuntimeDirectory=waitroom", "Environment=TMPDIR=/run/waitroom"} <= set(lines)


def test_nothing_runs_as_root_or_writes_where_it_should_not() -> None:
    for spec in (pod("Deployment", "waitroom"), pod("StatefulSet", "waitroom-valkey")):
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert re.search(r"^USER 10001$", (CHECKOUT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)


def test_the_redis_named_is_the_one_deployed_and_evicts_nothing() -> None:
    compose = yaml.safe_load((CHECKOUT / "deploy" / "compose.yaml").read_text())["services"]
    (container,) = pod("StatefulSet", "waitroom-valkey")["containers"]

    for words in (compose["valkey"]["command"], container["args"]):
        assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
        assert words[words.index("--appendonly") + 1] == "yes"
    assert ("Service", "waitroom-valkey") in documents()
    assert documents()["ConfigMap", "waitroom"]["data"]["WAITROOM_REDIS_URL"].startswith("redis://waitroom-valkey:6379")


def test_the_image_is_built_from_what_its_context_lets_in() -> None:
    allowed = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+)$", (CHECKOUT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)

    assert {source for line in copied for source in line.split()[:-1]} == allowed
    assert all((CHECKOUT / name).exists() for name in allowed)
