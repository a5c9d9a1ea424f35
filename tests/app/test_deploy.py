"""What is given for deployment fits the settings, and would stop and start as the gateway does."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from waitroom.config import example_file, load, variables
from waitroom.core.errors import ConfigError
from waitroom.serve.task import CLOSE_S, STOP_LIMIT_S

CHECKOUT = Path(__file__).parents[2]
K8S = sorted((CHECKOUT / "k8s").glob("*.yaml"))
KEY = "k" * 32
GIVEN = {
    "WAITROOM_ORIGIN": "http://127.0.0.1:3000",
    "WAITROOM_RATE": "60/min",
    "WAITROOM_REDIS_URL": "redis://valkey:6379/0",
    "WAITROOM_SECRET": "",
    "WAITROOM_HOST": "0.0.0.0",
    "WAITROOM_WORKERS": "2",
}


def documents() -> dict[tuple[str, str], dict[str, Any]]:
    found = (document for path in K8S for document in yaml.safe_load_all(path.read_text()))
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


@pytest.mark.parametrize("path", [*K8S, *sorted((CHECKOUT / "deploy").iterdir())], ids=lambda path: path.name)
def test_every_variable_that_is_named_is_a_setting(path: Path) -> None:
    named = set(re.findall(r"\bWAITROOM_[A-Z_]+\b", path.read_text()))

    assert named - {variable.name for variable in variables()} == set()


def test_the_config_map_and_a_secret_make_settings() -> None:
    given: dict[str, str] = documents()["ConfigMap", "waitroom"]["data"]

    settings = load(given | {"WAITROOM_SECRET": KEY})

    assert (settings.host, settings.port, settings.log) == ("0.0.0.0", 8080, "json")


def test_the_kustomization_holds_everything_but_the_secret() -> None:
    listed = set(documents()["Kustomization", ""]["resources"])

    assert listed == {path.name for path in K8S} - {"kustomization.yaml", "secret.example.yaml"}
    assert documents()["Secret", "waitroom"]["stringData"] == {"WAITROOM_SECRET": ""}


def test_the_pod_knows_no_service_links_and_asks_the_right_probes() -> None:
    spec = pod("Deployment", "waitroom")
    (container,) = spec["containers"]

    assert spec["enableServiceLinks"] is False
    assert container["readinessProbe"]["httpGet"]["path"] == "/-/waitroom/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/-/waitroom/live"
    assert container["ports"][0]["containerPort"] == int(documents()["ConfigMap", "waitroom"]["data"]["WAITROOM_PORT"])


def test_a_stop_is_given_longer_than_it_takes() -> None:
    stop_s = load({"WAITROOM_ORIGIN": "http://shop"}).stop_delay / 1000 + STOP_LIMIT_S + 2 * CLOSE_S
    compose = yaml.safe_load((CHECKOUT / "deploy" / "compose.yaml").read_text())

    assert pod("Deployment", "waitroom")["terminationGracePeriodSeconds"] > stop_s
    assert int(compose["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > stop_s


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
