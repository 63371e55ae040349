"""A change reaches what it concerns: live files without a restart, the others by a rollout, nothing else at all."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra import dashboards
from infra.targets.kubernetes import name_of
from infra.targets.kubernetes.pods import FINGERPRINT
from tests.unit.conftest import Edit
from tests.unit.manifests import STACKS, Declared, changes, declare, declared

# What a ConfigMap may hold, keys and values (https://kubernetes.io/docs/concepts/configuration/configmap/).
LIMIT = 1024 * 1024


def changed_lines(before: Any, after: Any) -> dict[str, int]:
    """How many lines of each file of a ConfigMap differ."""
    return {
        key: sum(a != b for a, b in zip(text.splitlines(), after["data"][key].splitlines(), strict=True))
        for key, text in before["data"].items()
        if after["data"][key] != text
    }


def test_an_edited_rule_changes_its_config_map_and_nothing_else(project: Path, edit: Edit) -> None:
    edit("configs/prometheus/rules/critical.yml", "nothing is traded", "NOTHING is traded")
    found = changes(declared("prod"), declare("prod", project))
    assert list(found) == ["ConfigMap/monitoring/prometheus-rules"]
    assert changed_lines(*found["ConfigMap/monitoring/prometheus-rules"]) == {"critical.yml": 1}


def test_an_edited_route_changes_its_config_map_and_nothing_else(project: Path, edit: Edit) -> None:
    edit("configs/alertmanager/alertmanager.yml", "group_wait: ", "group_wait: 1")
    assert list(changes(declared("prod"), declare("prod", project))) == ["ConfigMap/monitoring/alertmanager"]


@pytest.mark.parametrize(
    ("change", "controller"),
    [
        (("blackbox/blackbox.yml", "timeout: ", "timeout: 1"), "Deployment/monitoring/blackbox-exporter"),
        (("loki/loki.yml", "log_level: warn", "log_level: info"), "StatefulSet/monitoring/loki"),
    ],
)
def test_a_file_that_is_read_at_the_start_rolls_its_pods(
    project: Path, edit: Edit, change: tuple[str, str, str], controller: str
) -> None:
    file, old, new = change
    edit(f"configs/{file}", old, new)
    found = changes(declared("prod"), declare("prod", project))
    assert set(found) == {f"ConfigMap/monitoring/{controller.rpartition('/')[2]}", controller}
    old_item, new_item = copy.deepcopy(found[controller])
    assert old_item
    assert new_item
    marks = [item["spec"]["template"]["metadata"]["annotations"] for item in (old_item, new_item)]
    assert marks[0][FINGERPRINT] != marks[1][FINGERPRINT]
    # The mark is all that differs: the same pods, started anew.
    marks[0].clear()
    marks[1].clear()
    assert old_item == new_item


def test_an_edited_dashboard_changes_its_config_map_and_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = dashboards.pages

    def edited(*arguments: Any) -> Any:
        first, *rest = pages(*arguments)
        return [replace(first, document={**first.document, "description": "Edited."}), *rest]

    monkeypatch.setattr(dashboards, "pages", edited)
    found = changes(declared("prod"), declare("prod"))
    assert len(found) == 1
    assert next(iter(found)).startswith("ConfigMap/monitoring/grafana-dashboards")


def test_a_new_service_is_scraped_probed_and_its_namespace_read(project: Path) -> None:
    path = project / "configs/services.yaml"
    path.write_text(
        path.read_text()
        + "\n  - {name: staking-service, description: Staking., port: 3005, team: finance, tier: standard,\n"
        + "     capabilities: [http], dependencies: [database], namespace: staking}\n"
    )
    found = changes(declared("prod"), declare("prod", project))
    maps = {name for name in found if name.startswith("ConfigMap/monitoring/")}
    assert maps >= {"ConfigMap/monitoring/prometheus", "ConfigMap/monitoring/prometheus-rules"}
    assert maps <= {
        "ConfigMap/monitoring/prometheus",
        "ConfigMap/monitoring/prometheus-rules",
        "ConfigMap/monitoring/alertmanager",
        *(name for name in maps if "grafana-dashboards" in name),
    }
    assert set(found) - maps == {
        "NetworkPolicy/monitoring/prometheus",
        "NetworkPolicy/monitoring/blackbox-exporter",
        "Role/staking/monitoring-discovery",
        "RoleBinding/staking/monitoring-discovery",
    }


def test_two_declarations_are_the_same() -> None:
    assert changes(declared("prod"), declare("prod")) == {}


@pytest.mark.parametrize("stack", STACKS)
def test_no_config_map_is_larger_than_the_api_takes(stack: str) -> None:
    found = declared(stack)
    sizes = {name_of(item): size_of(item) for item in found.every("ConfigMap")}
    assert max(sizes.values()) < LIMIT, sizes
    assert sum(sizes.values()) > LIMIT / 2


def size_of(item: Any) -> int:
    return sum(len(key.encode()) + len(text.encode()) for key, text in item["data"].items())


def reads_live(found: Declared, name: str) -> bool:
    """Whether a workload's pods stay as they are when any of its files changes."""
    return all(file.live for file in found.workload(name).config_files) or bool(found.workload(name).reload_metric)


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_what_reloads_gets_its_files_through_its_checker(name: str) -> None:
    pod = declared("prod").pods()[name]["spec"]
    assert reads_live(declared("prod"), name)
    main, reloader = pod["containers"]
    (first,) = pod["initContainers"]
    live = f"/etc/{name}"
    mounted = {mount["mountPath"]: mount for mount in main["volumeMounts"]}
    assert mounted[live] == {"name": "live", "mountPath": live, "readOnly": True}
    for container in (first, reloader):
        assert container["image"] == main["image"]
        paths = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert not paths[live].get("readOnly")
        assert paths[f"/config-source{live}"]["readOnly"] is True
        check = next(each["value"] for each in container["env"] if each["name"] == "CHECK")
        assert check.startswith({"prometheus": "promtool check config", "alertmanager": "amtool check-config"}[name])
    assert first["command"][-1] == "once"
    assert reloader["command"][-1] == "watch"


def test_prometheus_alone_is_started_where_its_volume_takes_writes() -> None:
    started = {name: pod["spec"]["containers"][0].get("command", []) for name, pod in declared("prod").pods().items()}
    guarded = {name: command for name, command in started.items() if "/scripts/start.sh" in command}
    assert guarded == {"prometheus": ["sh", "/scripts/start.sh", "/prometheus", "prometheus"]}
    mounts = declared("prod").pods()["prometheus"]["spec"]["containers"][0]["volumeMounts"]
    assert {"/scripts", "/prometheus"} <= {mount["mountPath"] for mount in mounts}
