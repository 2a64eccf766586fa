"""deploy/ by what can be run without a daemon or a cluster: our config code, schemas, Envoy itself, a linter, PromQL."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from server.calls import FLUSH_S
from server.config import load_layers
from server.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
MANIFESTS = [
    pytest.param(document, id=f"{path.stem}-{document['kind']}-{document['metadata']['name']}")
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/lexitune.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
ENVOY = DEPLOY / "envoy/envoy.yaml"
GRAFANA_VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$model": ".*"}


def _program(name: str) -> str:
    """One that the development dependencies bring."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _load(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


def _expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in GRAFANA_VARIABLES.items():
                expression = expression.replace(name, value)
            yield expression
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def _exported() -> dict[str, set[str]]:
    """Samples by name with their labels, of a registry as the server's."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    ProcessCollector(registry=registry)
    metrics.rpc_ended("m", "UNAVAILABLE", "STREAM_SLOTS")
    metrics.model_loaded("m", label="m@1", sha256="", load_s=1.0, num_bytes=1)
    exported: dict[str, set[str]] = {}
    for family in registry.collect():
        for sample in family.samples:
            exported.setdefault(sample.name, set()).update(sample.labels)
    return exported


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, str):
            yield from _selectors(child)
    for child in getattr(node, "args", None) or []:
        yield from _selectors(child)


@pytest.mark.parametrize("expression", list(_expressions()))
def test_every_query_asks_for_what_the_server_exports(expression: str) -> None:
    exported = _exported()
    selectors = list(_selectors(promql_parser.parse(expression)))
    assert selectors
    for selector in selectors:
        matched = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name == "up":
            continue
        assert selector.name in exported
        assert matched <= exported[selector.name] | {"instance", "job"}


def test_no_other_name_of_ours_is_in_the_dashboard_or_the_rules() -> None:
    text = json.dumps(DASHBOARD) + (DEPLOY / "prometheus/rules.yml").read_text()
    assert set(re.findall(r"\blexitune_\w+", text)) <= set(_exported())


def test_grafana_finds_its_datasource_and_dashboard() -> None:
    (datasource,) = _load("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (provider,) = _load("grafana/provisioning/dashboards/lexitune.yaml")["providers"]
    mounts = _load("compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"]["uid"] == datasource["uid"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_servers_config_is_read_by_our_own_code() -> None:
    loaded = load_layers(DEPLOY / "server.toml", {}, {})
    assert loaded.config.address.endswith(":50051")
    assert loaded.config.metrics_address.endswith(":9464")


def test_the_variables_of_image_and_manifests_are_known_to_the_server() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    image = dict(re.findall(r"(LEXITUNE_SERVER_\w+)=(\S+)", dockerfile))
    assert image.pop("LEXITUNE_SERVER_CONFIG") == "/etc/lexitune/server.toml"
    (deployment,) = [one.values[0] for one in MANIFESTS if one.id == "server-Deployment-lexitune"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one.get("value", "4") for one in container["env"]}
    ours = {name: value for name, value in given.items() if name.startswith("LEXITUNE_SERVER_")}
    config = load_layers(DEPLOY / "server.toml", {}, {**image, **ours}).config
    assert (config.device, config.decode_workers) == ("cuda", 4)


def test_a_drain_fits_into_the_grace_periods() -> None:
    config = load_layers(DEPLOY / "server.toml", {}, {}).config
    needed_s = config.drain_grace_s + FLUSH_S
    (deployment,) = [one.values[0] for one in MANIFESTS if one.id == "server-Deployment-lexitune"]
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > needed_s
    assert int(_load("compose.yaml")["services"]["lexitune"]["stop_grace_period"].rstrip("s")) > needed_s


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_fits_its_schema(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.33", strict=True)


@pytest.mark.parametrize("manifest", [one for one in MANIFESTS if "Deployment" in str(one.id)])
def test_every_pod_gives_up_its_privileges(manifest: dict[str, Any]) -> None:
    pod = manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False


def test_kustomize_names_what_there_is() -> None:
    kustomization = _load("kustomization.yaml")
    maps = {one["name"]: one["files"] for one in kustomization["configMapGenerator"]}
    for path in [*kustomization["resources"], *(path for files in maps.values() for path in files)]:
        assert (DEPLOY / path).is_file()
    written = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert {Path(path).name for path in kustomization["resources"]} == written
    pods = [one.values[0]["spec"]["template"]["spec"] for one in MANIFESTS if "Deployment" in str(one.id)]
    mounted = {
        volume["configMap"]["name"] for pod in pods for volume in pod["volumes"] if "configMap" in volume
    }
    assert mounted == set(maps)


def test_compose_fits_its_schema() -> None:
    _run(
        _program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")
    )


def test_what_compose_and_the_manifests_mount_and_build_is_there() -> None:
    services = _load("compose.yaml")["services"]
    sources = [volume.split(":")[0] for one in services.values() for volume in one.get("volumes", [])]
    assert all((DEPLOY / source).exists() for source in sources if source.startswith("."))
    assert (DEPLOY.parent / services["lexitune"]["build"]["dockerfile"]).is_file()


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    paths = {path for line in copied for path in line.split()}
    let_in = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line[0] == "!"}
    assert paths == let_in
    assert all((DEPLOY.parent / path).exists() for path in paths)


def test_the_image_is_linted() -> None:
    _run(_program("hadolint"), str(DEPLOY / "Dockerfile"))


def test_envoy_takes_its_config() -> None:
    _run(_program("envoy"), "--mode", "validate", "--config-path", str(ENVOY))


def test_envoy_never_repeats_what_failed_inside() -> None:
    (listener,) = _load("envoy/envoy.yaml")["static_resources"]["listeners"]
    hosts = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    for host in hosts:
        for route in host["routes"]:
            causes = set(route["route"]["retry_policy"]["retry_on"].split(","))
            assert causes == {"connect-failure", "refused-stream", "unavailable", "resource-exhausted"}
            assert route["route"]["timeout"] == "0s"


def test_prometheus_takes_its_config() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    _run(promtool, "check", "config", str(DEPLOY / "prometheus/prometheus.yml"))
