"""Bad input ends the program before a resource is declared, with one sentence that names place and remedy."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from infra import assembly, checks, credentials, render, secretfiles, settings
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack, load
from operate import __main__ as operate
from operate import checkers, containers, engine, preflight, status
from tests.unit.conftest import Edit


def refused(project: Path, **overrides: object) -> str:
    """The sentence the program ends with."""
    with pytest.raises(InputError) as caught:
        render.resources("dev", overrides, project)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_unknown_setting(project: Path) -> None:
    sentence = refused(project, retentionDay=30)
    assert "monitoring:retentionDay" in sentence
    assert "pulumi config rm monitoring:retentionDay" in sentence


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("prometheusPort", "ninety", "a whole number"),
        ("simulator", "maybe", "true or false"),
        ("retentionDays", "true", "a whole number"),
        ("tlsProbes", "exchange.com:443", "a list"),
    ],
)
def test_setting_of_the_wrong_type(project: Path, key: str, value: str, remedy: str) -> None:
    sentence = refused(project, **{key: value})
    assert f"monitoring:{key}: is '{value}'" in sentence
    assert remedy in sentence


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("retentionDays", 0),
        ("prometheusPort", 70000),
        ("target", "podman"),
        ("bindAddress", "localhos"),
        ("smtpSmarthost", "mail"),
        ("pagerdutyUrl", "events"),
        ("environment", "Dev!"),
    ],
)
def test_setting_out_of_range(project: Path, key: str, value: object) -> None:
    sentence = refused(project, **{key: value})
    assert key in sentence
    assert str(value) in sentence


@pytest.mark.parametrize("probe", ["exchange.com", "exchange.com:70000", "https://exchange.com:443"])
def test_certificate_probe_that_is_no_host_and_port(project: Path, probe: str) -> None:
    sentence = refused(project, tlsProbes=["exchange.com:443", probe])
    assert f"tlsProbes has {probe!r}; give host:port" in sentence


def test_two_settings_with_one_port(project: Path) -> None:
    sentence = refused(project, grafanaPort=9090)
    assert "grafanaPort" in sentence
    assert "prometheusPort" in sentence


def test_unknown_stack(project: Path) -> None:
    with pytest.raises(InputError, match=r"Pulumi\.nowhere\.yaml: no such stack; the stacks here are dev"):
        render.resources("nowhere", root=project)


def test_settings_are_exactly_those_declared() -> None:
    fields = {field.alias or name for name, field in settings.Settings.model_fields.items()}
    aliases = {to_camel(name) for name in settings.Settings.model_fields}
    assert aliases == set(settings.declared()), fields


def test_duplicate_service_name(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "- name: kyc-service", "- name: auth-service")
    sentence = refused(project)
    assert "services[5] (auth-service): name" in sentence
    assert "rename or remove" in sentence


def test_unknown_team(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "team: compliance\n    tier", "team: complience\n    tier")
    sentence = refused(project)
    assert "services[5] (kyc-service): team: unknown team 'complience'" in sentence
    assert "blockchain, compliance, database" in sentence


def test_unknown_tier(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "tier: critical", "tier: gold")
    sentence = refused(project)
    assert "configs/services.yaml: services[0] (api-gateway): tier: is 'gold'" in sentence
    assert "'critical' or 'standard'" in sentence


def test_unknown_dependency(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "dependencies: [redis]", "dependencies: [memcached]")
    assert "unknown dependency 'memcached'; known: auth-service" in refused(project)


def test_services_that_depend_on_each_other(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "dependencies: [redis]", "dependencies: [redis, wallet-service]")
    edit(
        "configs/services.yaml",
        "capabilities: [http, wallet]\n    dependencies: [database",
        "capabilities: [http, wallet]\n    dependencies: [api-gateway, database",
    )
    assert "is a circle; remove one of them" in refused(project)


def test_critical_service_without_an_objective(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "    slo: 0.999\n", "")
    assert "slo: a critical service needs one" in refused(project)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ServiceDwn: {mute: typo}", "unknown alert 'ServiceDwn'"),
        ("ServiceDown: {threshold: 2}", "ServiceDown has no threshold to change"),
        ('HighErrorRate: {mute: ""}', "mute: is ''"),
        ("HighErrorRate: {mute: why, threshold: 0.1}", "give `threshold: NUMBER`, or `mute:`"),
        ("HighErrorRate: {threshold: much}", "threshold: is 'much'"),
        ("HighErrorRate: {treshold: 0.1}", "treshold: unknown key"),
    ],
)
def test_tuning_in_the_catalog(project: Path, edit: Edit, line: str, sentence: str) -> None:
    edit("configs/services.yaml", "    port: 3001\n", f"    port: 3001\n    alerts: {{{line}}}\n")
    said = refused(project)
    assert "configs/services.yaml" in said
    assert "kyc-service" in said
    assert sentence in said


def test_tuning_in_the_settings(project: Path) -> None:
    said = refused(project, alerts={"HighErorRate": {"*": {"threshold": 0.1}}})
    assert "Pulumi.dev.yaml: monitoring:alerts" in said
    assert "unknown alert 'HighErorRate'" in said
    said = refused(project, alerts={"HighErrorRate": {"walet-service": {"threshold": 0.1}}})
    assert "unknown service 'walet-service'" in said
    said = refused(project, alerts={"Watchdog": {"*": {"mute": "it never stops"}}})
    assert "Watchdog is the heartbeat" in said


def test_rule_without_what_people_need(project: Path, edit: Edit) -> None:
    edit("configs/prometheus/rules/critical.yml", "          dashboard: system-health\n", "")
    assert "configs/prometheus/rules/critical.yml: ServiceDown: annotations: dashboard missing" in refused(project)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("HighErrorRate: {threshold: 0.05,", "HighErrorRate: {threshold: [", "not valid YAML at line"),
        ("threshold: 0.05, unit: ratio}", "threshold: much, unit: ratio}", "HighErrorRate.threshold: is 'much'"),
        ("threshold: 0.05, unit: ratio}", "threshold: 0.05}", "HighErrorRate.unit: missing; add it"),
    ],
)
def test_thresholds_file(project: Path, edit: Edit, old: str, new: str, sentence: str) -> None:
    edit("configs/prometheus/thresholds.yml", old, new)
    said = refused(project)
    assert said.startswith("configs/prometheus/thresholds.yml: ")
    assert sentence in said


@pytest.mark.parametrize(("old", "new"), [("groups:\n", "grups:\n"), ("    rules:\n", "    ruls:\n")])
def test_rule_file_without_groups(project: Path, edit: Edit, old: str, new: str) -> None:
    edit("configs/prometheus/rules/critical.yml", old, new)
    assert "configs/prometheus/rules/critical.yml: has no list of `groups`" in refused(project)


def test_rule_without_an_expression(project: Path, edit: Edit) -> None:
    edit("configs/prometheus/rules/critical.yml", "        expr: service:down:settled == 1\n", "")
    assert "critical.yml: group 'availability', rule 9: needs `alert` or `record`, and `expr`" in refused(project)


def test_rule_with_a_threshold_that_stands_nowhere(project: Path, edit: Edit) -> None:
    edit("configs/prometheus/thresholds.yml", "HighErrorRate:", "HighErorRate:")
    assert "HighErrorRate has no threshold in configs/prometheus/thresholds.yml" in refused(project)


def test_unknown_key_of_a_service(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "    port: 3001\n", "    port: 3001\n    prot: 3001\n")
    assert "services[5] (kyc-service): prot: unknown key" in refused(project)


def test_rename_onto_a_name_outside_the_contract(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", ": http_requests_total", ": http_request_total")
    sentence = refused(project)
    assert "(trading-engine): rename: trade_engine_http_requests_total is renamed to 'http_request_total'" in sentence
    assert "configs/contract.yaml" in sentence


def test_services_file_that_is_no_yaml(project: Path, edit: Edit) -> None:
    edit("configs/services.yaml", "teams:", "teams: [")
    assert "configs/services.yaml: not valid YAML at line" in refused(project)


def test_contract_metric_of_an_unknown_type(project: Path, edit: Edit) -> None:
    edit("configs/contract.yaml", "type: counter", "type: count")
    assert "configs/contract.yaml: contract.http.metrics.http_requests_total.type: is 'count'" in refused(project)


@pytest.fixture(scope="session", autouse=True)
def built_checkers() -> None:
    """promtool and amtool, built on first use."""
    checkers.build(load("dev"))


def test_rule_file_that_promtool_refuses(project: Path, edit: Edit) -> None:
    edit("configs/prometheus/rules/critical.yml", "max by (service)", "max bye (service)")
    sentence = refused(project)
    assert sentence.startswith("configs/prometheus/rules/critical.yml: promtool refuses it")
    assert '"availability", rule 2, "service:down"' in sentence
    assert "nothing was changed" in sentence


def test_alertmanager_file_that_amtool_refuses(project: Path, edit: Edit) -> None:
    edit("configs/alertmanager/alertmanager.yml", "group_wait", "group_weight")
    sentence = refused(project)
    assert sentence.startswith("configs/alertmanager/alertmanager.yml: amtool refuses it")
    assert "group_weight" in sentence


@pytest.mark.parametrize(
    ("given", "said"), [('"\\e[31m"', "`\\x1b[31m`"), ("aaaaaa\U00013ce8bbbb", "`aaaaaa\ufffd")], ids=["colours", "cut"]
)
def test_what_amtool_repeats_of_a_file_is_text(project: Path, edit: Edit, given: str, said: str) -> None:
    """Of a long value it repeats some bytes, which may end within a character."""
    edit("configs/alertmanager/alertmanager.yml", "templates:\n  - templates/*.tmpl\n", f"templates: {given}\n")
    sentence = refused(project)
    assert said in sentence
    assert sentence.isprintable()


def test_template_that_amtool_refuses(project: Path, edit: Edit) -> None:
    edit("configs/alertmanager/templates/mycrypto.tmpl", "{{ define", "{{ defined")
    assert "mycrypto.tmpl" in refused(project)


def test_every_check_has_its_tool_or_is_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find", lambda _tool, _version: None)
    missing = checks.verify(assembly.workloads(load("dev", root=project)))
    assert set(missing) >= {"promtool", "amtool"}


def test_receiver_secret_missing_without_the_inbox(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_WEBHOOK_URL", raising=False)
    sentence = refused(project, inbox=False, smtpSmarthost="mail.exchange.com:587")
    assert "slack-webhook-url" in sentence
    assert "export SLACK_WEBHOOK_URL=" in sentence


def test_mail_server_without_the_inbox(project: Path) -> None:
    assert "smtpSmarthost is 'inbox:1025' while inbox is false" in refused(project, inbox=False)


def test_mail_account_without_its_password(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)
    assert "export SMTP_PASSWORD=" in refused(project, smtpUsername="alertmanager")


def test_built_images_missing(project: Path) -> None:
    assert "run `make images`" in refused(project, images="built")


def test_torn_image_manifest(project: Path) -> None:
    (project / ".images").mkdir()
    (project / ".images/built.json").write_text('{"source": "bui')
    assert ".images/built.json: not complete; run `make images`." in refused(project)


def test_port_in_use(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operate.containers.published_ports", lambda _stack: set())
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (project / "Pulumi.dev.yaml").write_text(f"config:\n  monitoring:prometheusPort: {port}\n")
        with pytest.raises(InputError) as caught:
            preflight.ports_free(load("dev", root=project))
    assert f"monitoring:prometheusPort: port {port} on 127.0.0.1 is in use" in str(caught.value)
    assert "in Pulumi.dev.yaml" in str(caught.value)


def test_real_receivers_are_not_exchanged_for_the_inbox(project: Path) -> None:
    """A `make up` from a shell that lacks the variable would send pages where nobody looks."""
    stack = load("dev", root=project)
    at_hand = credentials.given(stack.settings, {}, {})
    secretfiles.write(stack, assembly.workloads(stack), {})
    preflight.receivers_stay(stack, at_hand)
    kept = project / ".secrets/dev/alertmanager/slack-webhook-url"
    kept.write_text("https://hooks.exchange.com/services/T1")
    with pytest.raises(InputError) as caught:
        preflight.receivers_stay(stack, at_hand)
    assert "SLACK_WEBHOOK_URL is not set" in str(caught.value)
    assert "remove .secrets/dev/alertmanager/slack-webhook-url" in str(caught.value)
    assert "T1" not in str(caught.value)
    preflight.receivers_stay(stack, {**at_hand, "slack-webhook-url": "https://hooks.exchange.com/services/T2"})


def test_volumes_and_their_passwords(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operate.containers.volumes", lambda _stack: {"monitoring-dev-postgres-primary"})
    stack = load("dev", root=project)
    with pytest.raises(InputError, match="monitoring-dev-postgres-primary is here"):
        preflight.passwords_match_volumes(stack, {})
    preflight.passwords_match_volumes(stack, {"postgres-password": "given"})


def test_no_docker_and_no_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    for user, words in ((1000, "only root can install one"), (0, "no Debian system")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        with pytest.raises(InputError, match=words):
            engine.ensure()


def test_command_line_says_it_in_one_line_and_exits_with_2() -> None:
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "operate", "--stack", "nowhere", "status"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "capacity --days",
        "capacity --prometheus",
        "review --prometheus",
        "rebaseline --prometheus",
        "drill --repeat",
        "drill --alert",
        "bench --series",
        "bench --rules-beside",
        "dashboards-page --range",
        "dashboards-page --prometheus",
        "check-service --url http://localhost:9 --service",
    ],
)
def test_of_a_long_value_only_the_beginning_is_said(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert operate.main([*command.split(), 5000 * "x"]) == 2
    sentence = capsys.readouterr().err
    assert "x ... (500" in sentence
    assert len(sentence) < 1000


def test_a_drill_of_prod_breaks_nothing_and_says_what_can_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert operate.main(["--stack", "prod", "drill"]) == 2
    assert "`make drill STACK=prod DELIVERY=1` breaks nothing" in capsys.readouterr().err


def test_without_docker_its_commands_end_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="no `docker` is on the PATH"):
        containers.of("dev")


def test_secret_files_are_private_and_kept(project: Path) -> None:
    stack = load("dev", root=project)
    workloads = assembly.workloads(stack, {})
    secretfiles.write(stack, workloads, {})
    files = [path for path in (project / ".secrets").rglob("*") if path.is_file()]
    assert len(files) > 10
    before = {path: (path.read_text(), path.stat().st_mtime_ns, oct(path.stat().st_mode & 0o777)) for path in files}
    if os.geteuid() == 0:
        assert {mode for _, _, mode in before.values()} == {"0o600"}
    secretfiles.write(stack, workloads, {})
    assert {p: (p.read_text(), p.stat().st_mtime_ns, oct(p.stat().st_mode & 0o777)) for p in files} == before
    exporter = json.loads((project / ".secrets/dev/redis-exporter/redis-passwords.json").read_text())
    assert list(exporter) == ["redis://redis:6379"]


def healthy(stack: Stack) -> list[containers.Container]:
    """A healthy container of each workload, as the engine would list them."""
    return [
        containers.Container(w.name, w.name, "running", "healthy", (), by_compose=True)
        for w in assembly.workloads(stack)
    ]


def test_a_stack_that_does_not_get_well_says_what_and_where_to_look(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = load("dev", root=project)
    scraped = [status.Target("loki", "loki:3100", "down", "refused", "")]
    ready = healthy(stack)
    monkeypatch.setattr(containers, "of", lambda _stack: ready)
    monkeypatch.setattr(status, "targets", lambda _stack: scraped)
    with pytest.raises(InputError, match=r"target loki loki:3100 is down; see http://127\.0\.0\.1:9090/targets"):
        status.wait(stack, seconds=0)
    ready.pop()
    with pytest.raises(InputError, match=r"has no container \(and 1 more\); see `docker logs monitoring-dev-"):
        status.wait(stack, seconds=0)


def test_up_does_not_wait_for_services_that_run_elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "Pulumi.dev.yaml").write_text("config:\n  monitoring:simulator: false\n")
    stack = load("dev", root=project)
    ready = healthy(stack)
    monkeypatch.setattr(containers, "of", lambda _stack: ready)
    scraped = [
        status.Target("loki", "loki:3100", "up", "", ""),
        status.Target("kyc-service", "kyc:3001", "down", "refused", ""),
    ]
    monkeypatch.setattr(status, "targets", lambda _stack: scraped)
    status.wait(stack, seconds=0)
