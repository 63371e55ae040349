"""Bare hosts: the inventory as Ansible reads it becomes targets, labels, policies and secrets, or one sentence."""

from pathlib import Path
from typing import Any

import pytest

from infra import assembly, credentials, documents, render, versions
from infra.errors import InputError
from infra.hosts import ROLE
from infra.settings import ROOT
from infra.stack import load
from tests.unit.manifests import declare
from tests.unit.test_bad_input import refused

PLACE = "playbooks/inventory"
DEFAULTS = documents.load((ROOT / ROLE / "defaults/main.yml").read_text())
SPECS = documents.load((ROOT / ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]


@pytest.fixture
def shared(project: Path) -> Path:
    """What the playbook leaves on the controller, in the copy of the project."""
    folder = project / ".secrets/hosts"
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    (folder / "password").write_text("kept-by-the-playbook\n")
    return folder


def write(project: Path, hosts: dict[str, Any], **variables: Any) -> None:
    """Replace the inventory by these hosts."""
    (project / PLACE / "hosts.yml").write_text(documents.dump({"all": {"hosts": hosts, "vars": variables}}))


def scrapes(project: Path, **overrides: object) -> dict[str, Any]:
    """The job of the bare hosts, on Docker."""
    found = {r.name: r.inputs for r in render.resources("dev", {"inventory": PLACE, **overrides}, project)}
    files = {upload["file"]: upload["content"] for upload in found["prometheus"]["uploads"]}
    assert files["/etc/prometheus/hosts-ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    jobs = documents.load(files["/etc/prometheus/prometheus.yml"])["scrape_configs"]
    return next(job for job in jobs if job["job_name"] == "hosts")


@pytest.mark.usefixtures("shared")
def test_the_example_inventory_is_scraped_over_tls_with_the_password(project: Path) -> None:
    job = scrapes(project)
    assert job["scheme"] == "https"
    assert job["basic_auth"] == {"username": "prometheus", "password_file": "/etc/web/hosts-password"}
    assert job["tls_config"] == {"ca_file": "/etc/prometheus/hosts-ca.crt", "min_version": "TLS12"}
    targets = {group["labels"]["instance"]: group for group in job["static_configs"]}
    assert targets["matching-1"] == {
        "targets": ["192.0.2.11:9100"],
        "labels": {
            "job": "node",
            "instance": "matching-1",
            "service": "host",
            "team": "trading",
            "group": "matching_engines",
        },
    }
    # Watched at another address than the one that Ansible signs in at.
    assert targets["wallet-1"]["targets"] == ["192.0.2.41:9100"]
    assert {group["labels"]["team"] for group in job["static_configs"]} == {
        *("trading", "database", "blockchain", "finance"),
    }
    assert len(targets) == 7


@pytest.mark.usefixtures("shared")
def test_groups_within_groups_host_variables_and_templates_count(project: Path) -> None:
    folder = project / PLACE
    (folder / "hosts.yml").write_text(
        documents.dump(
            {
                "all": {
                    "children": {
                        "frankfurt": {
                            "vars": {"network": "10.1.0"},
                            "children": {"databases": {"hosts": {"pg-1": {"ansible_host": "{{ network }}.5"}}}},
                        },
                        "spare": {"hosts": {"pg-1": {}, "lone": {"ansible_host": "2001:db8::7"}}},
                    }
                }
            }
        )
    )
    (folder / "host_vars").mkdir()
    (folder / "host_vars/pg-1.yml").write_text("node_exporter_port: 9200\nnode_exporter_team: platform\n")
    targets = {group["labels"]["instance"]: group for group in scrapes(project)["static_configs"]}
    assert targets["pg-1"]["targets"] == ["10.1.0.5:9200"]
    assert targets["pg-1"]["labels"]["group"] == "databases,frankfurt,spare"
    assert targets["pg-1"]["labels"]["team"] == "platform"  # the host's word before its group's
    assert targets["lone"]["targets"] == ["[2001:db8::7]:9100"]


@pytest.mark.usefixtures("shared")
def test_a_host_that_a_service_depends_on_keeps_that_name(project: Path) -> None:
    write(project, {"simulated-host": {"ansible_host": "10.0.0.1"}})
    group = scrapes(project, simulator=False)["static_configs"][0]
    assert group["labels"]["service"] == "matching-host"


@pytest.mark.parametrize(
    ("hosts", "variables", "parts"),
    [
        ({}, {}, ("lists no host", "monitoring:inventory")),
        ({"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.1"}}, {}, ("b and a", "10.0.0.1:9100")),
        ({"a": {"node_exporter_port": "high"}}, {}, ("a: node_exporter_port is 'high'", "from 1 to 65535")),
        ({"a": {"node_exporter_team": "nobody"}}, {}, ("a: node_exporter_team", "'nobody'", "known: blockchain")),
        ({"a": {"node_exporter_address": "0.0.0.0", "ansible_host": "::"}}, {}, ("a:", "give the host's own")),  # noqa: S104
        ({"docker-host": {"ansible_host": "10.0.0.1"}}, {}, ("docker-host", "rename the host")),
        (
            {"a": {"node_exporter_web_user": "one"}, "b": {}},
            {},
            ("node_exporter_web_user is one for a and prometheus for b", "group_vars/all"),
        ),
        (
            {"a": {"node_exporter_address": "{{ ansible_default_ipv4.address }}"}},
            {},
            ("a: node_exporter_scrape_address", "ansible_default_ipv4", "without facts"),
        ),
        ({"a": {}}, {"node_exporter_secrets": "/nowhere"}, ("/nowhere/ca.crt", "playbooks/node-exporters.yml")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_one_sentence(
    project: Path, shared: Path, hosts: dict[str, Any], variables: dict[str, Any], parts: tuple[str, ...]
) -> None:
    assert shared
    write(project, hosts, **variables)
    sentence = refused(project, inventory=PLACE)
    assert sentence.startswith(f"{PLACE}: ")
    for part in parts:
        assert part in sentence


@pytest.mark.usefixtures("shared")
def test_an_inventory_that_is_not_there_or_no_yaml_is_refused(project: Path) -> None:
    assert "monitoring:inventory is elsewhere, which is not there" in refused(project, inventory="elsewhere")
    (project / PLACE / "hosts.yml").write_text("all: {hosts: [")
    # Left out of a run, the hosts in it would be forgotten without a word.
    assert "parse" in refused(project, inventory=PLACE)


def test_no_inventory_is_no_job_and_no_secret(project: Path) -> None:
    current = load("dev", root=project)
    (prometheus,) = (w for w in assembly.workloads(current) if w.name == "prometheus")
    paths = [file.path for file in prometheus.config_files] + [file.path for file in prometheus.secret_files]
    assert not any("hosts" in path for path in paths)
    assert current.inventory is None
    assert current.made_secrets == {}


def test_the_password_is_the_one_that_the_playbook_made(project: Path, shared: Path) -> None:
    found = declare("dev", project, inventory=PLACE)
    at_hand = credentials.given(found.stack.settings, {}, {}, found.stack.made_secrets)
    assert at_hand["node-exporter-password"] == "kept-by-the-playbook"
    # The environment goes before it, as for every other secret.
    environ = {"NODE_EXPORTER_PASSWORD": "from-the-environment"}
    at_hand = credentials.given(found.stack.settings, {}, environ, found.stack.made_secrets)
    assert at_hand["node-exporter-password"] == "from-the-environment"
    (shared / "password").unlink()
    lacking = declare("dev", project, inventory=PLACE)
    left = credentials.given(lacking.stack.settings, {}, {}, lacking.stack.made_secrets)
    with pytest.raises(
        InputError, match="secret node-exporter-password: missing, prometheus needs it when monitoring:inv"
    ):
        credentials.check(lacking.stack.settings, lacking.workloads, left, "dev")


@pytest.mark.usefixtures("shared")
def test_a_cluster_lets_prometheus_reach_the_hosts_and_mounts_the_password(project: Path) -> None:
    write(project, {"a": {"ansible_host": "10.0.0.1"}, "b": {"ansible_host": "10.0.0.2", "node_exporter_port": 9200}})
    found = declare("prod", project, inventory=PLACE)
    assert [group["targets"] for group in found.jobs["hosts"]["static_configs"]] == [
        ["10.0.0.1:9100"],
        ["10.0.0.2:9200"],
    ]
    policy = found.one("NetworkPolicy", "prometheus")
    outside = {port["port"] for rule in policy["spec"]["egress"] if "to" not in rule for port in rule["ports"]}
    assert {9100, 9200} <= outside
    assert "hosts-ca.crt" in found.one("ConfigMap", "prometheus")["data"]
    without = declare("prod", project).one("NetworkPolicy", "prometheus")["spec"]["egress"]
    assert 9200 not in {port["port"] for rule in without for port in rule["ports"]}


def test_specs_and_defaults_say_the_same() -> None:
    for entry in ("main", "remove"):
        options = SPECS[entry]["options"]
        assert {name: option["default"] for name, option in options.items()} == DEFAULTS
        assert all(option["description"] and option["type"] for option in options.values())


def test_hosts_and_images_have_one_version_whose_files_are_pinned() -> None:
    version = next(image.version for image in versions.IMAGES if image.name == "node-exporter")
    assert DEFAULTS["node_exporter_version"] == version
    kinds = [f"linux-{architecture}{ending}" for architecture in ("amd64", "arm64") for ending in ("", ".tar.gz")]
    assert set(DEFAULTS["node_exporter_checksums"]) == {f"node_exporter-{version}.{kind}" for kind in kinds}
    assert all(len(digest) == 64 for digest in DEFAULTS["node_exporter_checksums"].values())


def test_the_example_inventory_uses_settings_that_exist() -> None:
    for path in (ROOT / PLACE).rglob("*.yml"):
        used = {name for name in _keys(documents.load(path.read_text())) if name.startswith("node_exporter_")}
        assert used <= set(DEFAULTS), path


def _keys(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        return set(tree).union(*map(_keys, tree.values()))
    return set().union(*map(_keys, tree)) if isinstance(tree, list) else set()
