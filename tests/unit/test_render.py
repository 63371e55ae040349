"""What the program declares, and how the render writes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra import assembly, dashboards, documents, render
from infra.components import grafana
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import load
from infra.targets import compose, docker
from tests.unit.conftest import STAKING, Edit


def containers(project: Path, **overrides: Any) -> dict[str, dict[str, Any]]:
    """Inputs of every declared container by name."""
    return {r.name: r.inputs for r in render.resources("dev", overrides, project) if r.type == compose.CONTAINER}


def prometheus_file(project: Path, name: str, **overrides: Any) -> Any:
    """One of Prometheus' configuration files, parsed."""
    uploads = containers(project, **overrides)["prometheus"]["uploads"]
    return documents.load(next(u["content"] for u in uploads if u["file"] == f"/etc/prometheus/{name}"))


def test_every_container_is_limited_locked_down_and_pinned(project: Path) -> None:
    declared = containers(project)
    assert len(declared) > 20
    for name, inputs in declared.items():
        assert 0 < inputs["memory"] == inputs["memorySwap"], name
        assert inputs["capabilities"]["drops"] == ["ALL"], name
        assert inputs["securityOpts"] == ["no-new-privileges:true"], name
        assert inputs["restart"] == "unless-stopped", name
        assert inputs["logOpts"]["tag"] == name
        tag = inputs["image"].rpartition(":")[2]
        assert tag != "latest"
        assert any(character.isdigit() for character in tag), inputs["image"]
        assert "healthcheck" in inputs or "wget" not in inputs


def test_new_service_needs_its_catalog_entry_and_nothing_else(project: Path) -> None:
    path = project / "configs/services.yaml"
    path.write_text(path.read_text() + STAKING)
    assert "staking-service" in containers(project)
    jobs = {job["job_name"]: job for job in prometheus_file(project, "prometheus.yml")["scrape_configs"]}
    assert jobs["staking-service"]["static_configs"] == [
        {
            "targets": ["staking-service:3005"],
            "labels": {"service": "staking-service", "team": "finance", "tier": "standard"},
        }
    ]
    probed = [target for group in jobs["health"]["static_configs"] for target in group["targets"]]
    assert "http://staking-service:3005/health" in probed
    expected = prometheus_file(project, "rules/catalog.yml")["groups"][0]["rules"]
    assert {"service": "staking-service", "team": "finance", "tier": "standard"} in [r.get("labels") for r in expected]


def test_the_readme_adds_the_same_service() -> None:
    assert STAKING in (ROOT / "README.md").read_text()


def test_new_service_changes_no_other_service(project: Path) -> None:
    before = containers(project)
    path = project / "configs/services.yaml"
    path.write_text(path.read_text() + STAKING)
    after = containers(project)
    changed = {name for name in after if after[name] != before.get(name)}
    # Alertmanager learns what silences the new service's symptoms.
    assert changed == {"staking-service", "prometheus", "alertmanager", "exchange-control"}


def test_rule_edit_changes_prometheus_alone(project: Path, edit: Edit) -> None:
    before = containers(project)
    edit("configs/prometheus/rules/critical.yml", "nothing is traded", "NOTHING is traded")
    after = containers(project)
    assert {name for name in after if after[name] != before[name]} == {"prometheus"}


def test_without_the_simulator_the_catalogs_addresses_are_watched(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "    port: 3001\n", "    port: 3001\n    host: kyc.internal\n")
    names = set(containers(project, simulator=False))
    assert not names & {service.name for service in load("dev", root=project).catalog.services}
    assert "exchange-control" not in names
    jobs = {
        job["job_name"]: job for job in prometheus_file(project, "prometheus.yml", simulator=False)["scrape_configs"]
    }
    assert jobs["kyc-service"]["static_configs"][0]["targets"] == ["kyc.internal:3001"]
    assert "http://kyc.internal:3001/health" in [t for g in jobs["health"]["static_configs"] for t in g["targets"]]


def test_without_data_stores_the_exporters_watch_the_catalogs(project: Path) -> None:
    names = set(containers(project, dataStores=False))
    assert not names & {"postgres-primary", "postgres-replica", "redis", "rabbitmq"}
    assert names >= {"postgres-primary-exporter", "postgres-replica-exporter", "redis-exporter"}


def test_pagerduty_is_real_only_with_its_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def url() -> str:
        uploads = containers(project)["alertmanager"]["uploads"]
        content = next(u["content"] for u in uploads if u["file"].endswith("alertmanager.yml"))
        return str(documents.load(content)["global"]["pagerduty_url"])

    monkeypatch.delenv("PAGERDUTY_SERVICE_KEY", raising=False)
    assert url() == "http://inbox:8025/pagerduty/v2/enqueue"
    monkeypatch.setenv("PAGERDUTY_SERVICE_KEY", "a-real-key")
    assert url() == "https://events.pagerduty.com/v2/enqueue"
    assert "a-real-key" not in json.dumps(containers(project))


def test_component_without_an_image_is_left_out(project: Path) -> None:
    (project / ".images").mkdir()
    manifest = {"source": "built", "images": {}, "unavailable": {"grafana": "no registry."}}
    (project / ".images/built.json").write_text(json.dumps(manifest))
    assert "grafana" not in containers(project)
    assert "prometheus" in containers(project)
    jobs = [job["job_name"] for job in prometheus_file(project, "prometheus.yml")["scrape_configs"]]
    assert "grafana" not in jobs


def test_two_renders_are_the_same_and_replace_each_other(project: Path) -> None:
    directory = project / ".render/dev"

    def written() -> dict[str, str]:
        paths = render.write("dev", root=project)
        found = {path: path.read_text() for path in directory.rglob("*") if path.is_file()}
        assert set(paths) == set(found)
        return {str(path.relative_to(directory)): text for path, text in found.items()}

    first = written()
    for left_over in ("left-over.yaml", "dashboards/left-over.json"):
        (directory / left_over).touch()
    assert written() == first
    pages = dashboards.pages(load("dev", root=project))
    assert set(first) == {"compose.yaml", *(f"dashboards/{page.uid}.json" for page in pages)}


def test_dashboards_are_rendered_as_grafana_gets_them(project: Path) -> None:
    render.write("dev", root=project)
    files = {Path(file.path).name: file.content for file in grafana.build(load("dev", root=project)).config_files}
    rendered = sorted((project / ".render/dev/dashboards").iterdir())
    assert rendered
    for path in rendered:
        assert path.read_text() == files[path.name]


def test_dollars_are_escaped_for_compose(project: Path) -> None:
    document = documents.load(render.write("dev", root=project)[0].read_text())
    content = document["configs"]["prometheus_etc_prometheus_prometheus.yml"]["content"]
    assert "http_requests_total$${1}" in content
    assert "${1}" not in content.replace("$$", "")


def test_unknown_property_is_refused_not_dropped() -> None:
    with pytest.raises(InputError, match=r"x: gpus has no Compose form; add it to infra/targets/compose\.py"):
        compose.document("dev", [(compose.VOLUME, "x", {"name": "x", "labels": [], "gpus": "all"})])
    with pytest.raises(InputError, match="docker:index/image:Image has no Compose form"):
        compose.document("dev", [("docker:index/image:Image", "x", {})])


def test_changed_content_changes_the_label_that_makes_compose_recreate(project: Path, edit: Edit) -> None:
    def label() -> str:
        labels = {item["label"]: item["value"] for item in containers(project)["loki"]["labels"]}
        return str(labels[f"{docker.PREFIX}.config"])

    before = label()
    edit("configs/loki/loki.yml", "log_level: warn", "log_level: info")
    assert label() != before


def test_secrets_are_mounted_and_their_names_known(project: Path) -> None:
    declared = containers(project)
    for workload in assembly.workloads(load("dev", root=project)):
        paths = [file.path for file in workload.secret_files]
        names = [Path(path).name for path in paths]
        assert len(names) == len(set(names)), workload.name
        binds = {v["containerPath"] for v in declared[workload.name]["volumes"] if "hostPath" in v}
        assert set(paths) <= binds
