"""What is started, where it listens, and what the collector is told; no container is run."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_kit import COLLECTOR, dashboard

KNOWN = {
    "extensions": {"bearertokenauth", "health_check"},
    "receivers": {"otlp"},
    "processors": {"memory_limiter", "batch", "transform", "deltatocumulative"},
    "exporters": {"otlp_grpc", "prometheus", "debug"},
}
"""Component types of the pinned collector-contrib release, by their present names.

``otlp`` as an exporter is a deprecated alias since 0.144
(https://github.com/open-telemetry/opentelemetry-collector/pull/14403).
"""


def load(name: str) -> Any:
    """A YAML file of the directory."""
    return yaml.safe_load((COLLECTOR / name).read_text())


def example_variables() -> set[str]:
    """The variables that the user is asked for."""
    lines = (COLLECTOR / ".env.example").read_text().splitlines()
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


def compose_or_skip() -> list[str]:
    """The command that reads a compose file; without one the test is skipped."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    if shutil.which("docker") and not subprocess.run([*plugin, "version"], check=False).returncode:
        return plugin
    pytest.skip("no docker-compose and no docker compose: install Debian's docker-compose")


def test_each_image_has_an_exact_version() -> None:
    """No image moves by itself."""
    images = [each["image"] for each in load("compose.yaml")["services"].values()]

    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", image), image


def test_every_port_is_published_on_the_loopback_interface_only() -> None:
    """Nothing of it can be reached from another machine."""
    services = load("compose.yaml")["services"].values()
    ports = [port for each in services for port in each.get("ports", [])]

    assert {port.rpartition(":")[2] for port in ports} == {
        *("3000", "4317", "4318", "9090", "13133", "16686")
    }
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_is_mounted_is_there() -> None:
    """Docker would make an empty directory of a missing file."""
    services = load("compose.yaml")["services"].values()
    mounted = [each.split(":")[0] for service in services for each in service.get("volumes", [])]

    for path in (each for each in mounted if each.startswith(".")):
        assert (COLLECTOR / path).exists(), path


def test_no_secret_has_a_default() -> None:
    """Key and password are the user's own, and the example lists them all."""
    text = (COLLECTOR / "compose.yaml").read_text()

    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required == set(re.findall(r"\$\{(\w+)", text)) == example_variables()
    assert set(re.findall(r"\$\{env:(\w+)", (COLLECTOR / "collector.yaml").read_text())) == {
        "ADEN_COLLECTOR_KEY"
    }


def test_compose_accepts_the_file_with_its_variables_and_not_without(tmp_path: Path) -> None:
    """Compose's own check, which needs no container engine."""
    command = compose_or_skip()
    clean = {k: v for k, v in os.environ.items() if k not in example_variables()}

    def complaint(**variables: str) -> str:
        check = [*command, "-f", str(tmp_path / "compose.yaml"), "config", "-q"]
        done = subprocess.run(
            check, check=False, env=clean | variables, capture_output=True, text=True, timeout=60
        )
        return done.stderr if done.returncode else ""

    shutil.copy(COLLECTOR / "compose.yaml", tmp_path)  # where no .env of the user's lies
    assert complaint(**dict.fromkeys(example_variables(), "x")) == ""
    assert "copy .env.example to .env" in complaint()


@pytest.mark.parametrize("kind", KNOWN)
def test_the_collectors_components_are_known_and_each_defined_one_is_used(kind: str) -> None:
    """No unknown type, no undefined name, nothing left over."""
    config = load("collector.yaml")
    service = config["service"]
    pipelines = service["pipelines"].values()
    lists = [service["extensions"]] if kind == "extensions" else [each[kind] for each in pipelines]

    assert {each.partition("/")[0] for each in config[kind]} <= KNOWN[kind]
    assert {each for names in lists for each in names} == set(config[kind])


def test_nobody_sends_without_the_key() -> None:
    """Both protocols ask for it."""
    config = load("collector.yaml")

    for protocol in config["receivers"]["otlp"]["protocols"].values():
        assert protocol["auth"] == {"authenticator": "bearertokenauth/in"}
    assert config["extensions"]["bearertokenauth/in"] == {"token": "${env:ADEN_COLLECTOR_KEY}"}


def test_memory_is_limited_first_and_below_what_the_container_may_take() -> None:
    """It refuses before it is killed."""
    config = load("collector.yaml")
    limited = load("compose.yaml")["services"]["collector"]["mem_limit"]

    for pipeline in config["service"]["pipelines"].values():
        assert pipeline["processors"][:2] == ["memory_limiter", "batch"]
    assert config["processors"]["memory_limiter"]["limit_mib"] < int(limited.removesuffix("m"))


def test_deltas_of_many_processes_are_put_in_order_before_they_are_added_up() -> None:
    """Else points are dropped."""
    config = load("collector.yaml")

    order = config["service"]["pipelines"]["metrics"]["processors"]
    assert order[1:] == ["batch", "transform/one_writer", "deltatocumulative"]
    _, points = config["processors"]["transform/one_writer"]["metric_statements"]
    assert points["context"] == "datapoint"
    assert {"set(datapoint.start_time_unix_nano, 0)", "set(datapoint.time, Now())"} < set(
        points["statements"]
    )


def test_prometheus_scrapes_the_ports_that_the_collector_opens() -> None:
    """Both: agents' metrics and its own."""
    config = load("collector.yaml")
    (reader,) = config["service"]["telemetry"]["metrics"]["readers"]
    own = reader["pull"]["exporter"]["prometheus"]["port"]
    metrics = config["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    jobs = {each["job_name"]: each for each in load("prometheus.yml")["scrape_configs"]}

    assert jobs["aden"]["static_configs"] == [{"targets": [f"collector:{metrics}"]}]
    assert jobs["collector"]["static_configs"] == [{"targets": [f"collector:{own}"]}]


def test_the_dashboard_asks_the_source_that_is_provisioned() -> None:
    """By its id, and the dashboard is where the provider looks."""
    sources = load("grafana/provisioning/datasources/datasources.yaml")["datasources"]
    (provider,) = load("grafana/provisioning/dashboards/dashboards.yaml")["providers"]
    mounted = load("compose.yaml")["services"]["grafana"]["volumes"]
    uids = {(each["type"], each["uid"]) for each in sources}

    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounted
    for panel in dashboard()["panels"]:
        for asked in (panel["datasource"], *(each["datasource"] for each in panel["targets"])):
            assert (asked["type"], asked["uid"]) in uids
