"""The container files: they parse, run without root on a disk that cannot be written, and drain."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from cloud_connect_relay.paths import RelayPaths
from cloud_connect_relay.settings import RelaySettings
from cloud_connect_relay.settings_sources import load_settings

ROOT = Path(__file__).parent.parent
CONTAINER = ROOT / "service" / "container"
KUBERNETES = ROOT / "service" / "kubernetes"
ACCOUNT = 10001


def instructions() -> Iterator[tuple[str, str, str]]:
    """Each instruction of the Dockerfile with its stage: stage, word, the rest."""
    text = re.sub(r"\\\n", " ", (CONTAINER / "Dockerfile").read_text())
    stage = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stage = rest.rpartition(" AS ")[2]
        yield stage, word, " ".join(rest.split())


def of(stage: str, word: str) -> list[str]:
    return [rest for place, found, rest in instructions() if (place, found) == (stage, word)]


def test_images_are_built_in_stages_and_hold_no_builder() -> None:
    froms = [rest for _, word, rest in instructions() if word == "FROM"]
    assert froms == [
        "${PYTHON_IMAGE} AS wheel",
        "${PYTHON_IMAGE} AS agent-programs",
        "${PYTHON_IMAGE} AS relay-programs",
        "${PYTHON_IMAGE} AS base",
        "base AS agent",
        "base AS relay",
    ]
    (image,) = of("", "ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:3\.\d+-slim-\w+", image)
    for name in ("agent", "relay"):
        programs = f"--from={name}-programs /opt/cloud-connect /opt/cloud-connect"
        assert of(name, "COPY") == [programs]
        assert not of(name, "RUN")
    assert not of("base", "COPY")


@pytest.mark.parametrize("name", ["agent", "relay"])
def test_every_package_comes_with_its_hash(name: str) -> None:
    (run,) = of(f"{name}-programs", "RUN")
    first, second = re.findall(r"pip install ([^&]+)", run)
    assert f"--no-deps --require-hashes -r /dist/requirements-{name}.txt" in first
    assert "--no-deps /dist/*.whl" in second
    assert not any(word == "ADD" for _, word, _ in instructions()), "it fetches and unpacks"


@pytest.mark.parametrize("name", ["agent", "relay"])
def test_packages_are_those_of_the_lock_and_no_tools(name: str) -> None:
    script = ROOT / ".ci" / "container_requirements.py"
    made = subprocess.run(
        [sys.executable, str(script), name], capture_output=True, text=True, timeout=60, check=False
    )
    assert made.returncode == 0, made.stderr
    kept = CONTAINER / f"requirements-{name}.txt"
    assert kept.read_text() == made.stdout, f"python {script.name} {name} > {kept.name}"
    assert "pytest==" not in made.stdout
    assert ("fastapi==" in made.stdout) == (name == "relay")


def test_images_run_without_root_under_a_number_and_write_to_one_volume() -> None:
    assert of("base", "USER") == [f"{ACCOUNT}:{ACCOUNT}"]
    assert not of("agent", "USER") + of("relay", "USER")
    assert of("base", "VOLUME") == ['["/data"]']
    assert any("PYTHONDONTWRITEBYTECODE=1" in one for one in of("base", "ENV"))
    assert of("agent", "ENV") == ["CLOUD_CONNECT_HOME=/data"]
    assert of("relay", "ENV") == ["CLOUD_CONNECT_RELAY_DATA_DIR=/data"]


@pytest.mark.parametrize("stage", ["agent", "relay"])
def test_images_tell_their_health_and_start_without_a_shell(stage: str) -> None:
    (check,) = of(stage, "HEALTHCHECK")
    for form in (check.partition(" CMD ")[2], *of(stage, "ENTRYPOINT"), *of(stage, "CMD")):
        assert all(isinstance(word, str) for word in json.loads(form))


def test_no_layer_holds_a_secret_and_only_sources_get_to_the_builder() -> None:
    for stage, word, rest in instructions():
        named = re.search(r"(?i)password|secret|token|passphrase", rest)
        assert word not in {"ENV", "ARG"} or named is None, (stage, rest)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [one for one in ignored if one and not one.startswith("#")]
    assert rules[0] == "*"
    copied = [rest for _, word, rest in instructions() if word == "COPY"]
    sources = {
        source for one in copied if not one.startswith("--from") for source in one.split()[:-1]
    }
    let_in = {one.removeprefix("!") for one in rules if one.startswith("!")}
    assert let_in == sources


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
    return found


@pytest.mark.parametrize("name", ["relay", "agent"])
def test_compose_gives_a_service_no_more_than_it_needs(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["user"] == f"{ACCOUNT}:{ACCOUNT}"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("network_mode") != "host"
    assert (
        int(service["stop_grace_period"].removesuffix("s"))
        > RelaySettings.model_fields["drain_timeout"].get_default()
    )
    assert service["volumes"] == [f"{name}:/data"]
    assert service["build"]["target"] == name
    assert (CONTAINER / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_compose_shows_the_relay_to_the_host_alone() -> None:
    ports = compose()["services"]["relay"]["ports"]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in compose()["services"]["agent"], "an agent listens on nothing"


def settings_of(tmp_path: Path, variables: dict[str, str], *flags: str) -> RelaySettings:
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    named = {name.removeprefix("--").replace("-", "_"): value for name, value in given.items()}
    return load_settings(RelayPaths(data_dir=tmp_path), environ=variables, flags=named)


def test_relay_takes_the_settings_of_compose(tmp_path: Path) -> None:
    service = compose()["services"]["relay"]
    variables = {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "https://relay.example.com", value)
        for name, value in service["environment"].items()
    }
    (command,) = of("relay", "CMD")
    found = settings_of(tmp_path, variables, *json.loads(command)[1:])
    assert (found.host, found.public_url) == ("0.0.0.0", "https://relay.example.com")
    (gateway,) = (one["gateway"] for one in compose()["networks"]["relay"]["ipam"]["config"])
    assert found.api.trusted_proxies == (gateway,)


def documents() -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for file in sorted(KUBERNETES.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            found[document["kind"], document["metadata"]["name"]] = document
    return found


def pods() -> list[dict[str, Any]]:
    known = documents()
    return [
        known["StatefulSet", "relay"]["spec"]["template"]["spec"],
        known["Pod", "relay-init"]["spec"],
    ]


@pytest.mark.parametrize("pod", pods(), ids=["relay", "init"])
def test_pods_meet_the_restricted_standard(pod: dict[str, Any]) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/
    assert pod["automountServiceAccountToken"] is False
    shared = pod["securityContext"]
    assert (shared["runAsNonRoot"], shared["runAsUser"]) == (True, ACCOUNT)
    assert shared["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]
        assert ":latest" not in container["image"]
        mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        assert mounted["/data"] == "data"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_pod_is_asked_for_its_health_and_has_the_time_to_drain(tmp_path: Path) -> None:
    (relay,) = pods()[0]["containers"]
    asked = {name: relay[name]["httpGet"]["path"] for name in relay if name.endswith("Probe")}
    assert asked == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    variables = {one["name"]: one["value"] for one in relay["env"]}
    found = settings_of(tmp_path, variables, *relay["args"][1:])
    assert pods()[0]["terminationGracePeriodSeconds"] > found.drain_timeout + found.drain_notice
    assert {one["name"]: one["containerPort"] for one in relay["ports"]} == {
        "api": found.port,
        "tunnel": found.tunnel_port,
    }


def test_names_in_kubernetes_fit() -> None:
    known = documents()
    labels = known["StatefulSet", "relay"]["spec"]["template"]["metadata"]["labels"]
    ports = {one["name"] for one in known["Service", "relay"]["spec"]["ports"]}
    assert known["Service", "relay"]["spec"]["selector"] == labels
    for kind in ("PodDisruptionBudget", "StatefulSet"):
        assert known[kind, "relay"]["spec"]["selector"]["matchLabels"] == labels
    assert known["PodDisruptionBudget", "relay"]["spec"]["maxUnavailable"] == 1
    assert known["StatefulSet", "relay"]["spec"]["replicas"] == 1, "SQLite has one process"
    (rule,) = known["Ingress", "relay"]["spec"]["rules"]
    routes = {
        one["path"]: one["backend"]["service"]["port"]["name"] for one in rule["http"]["paths"]
    }
    assert routes == {"/tunnel": "tunnel", "/": "api"}
    assert set(routes.values()) == ports
    claim = known["Pod", "relay-init"]["spec"]["volumes"][1]["persistentVolumeClaim"]["claimName"]
    (template,) = known["StatefulSet", "relay"]["spec"]["volumeClaimTemplates"]
    assert claim == f"{template['metadata']['name']}-relay-0"
    spaces = {
        one["metadata"].get("namespace") for (kind, _), one in known.items() if kind != "Namespace"
    }
    assert spaces == {"cloud-connect"}
