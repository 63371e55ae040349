"""Secrets: each tool gets its own in the form it reads, and what is missing is named with its remedy."""

import base64
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from pulumi.runtime import rpc

from infra import checks, cluster, credentials, documents, program, render, settings
from infra.errors import InputError
from infra.settings import ROOT
from infra.targets.kubernetes import Manifest, config
from operate import cluster as deployed
from tests.unit.conftest import Edit
from tests.unit.manifests import STACKS, Declared, declared

Values = dict[str, str]
PROD = declared("prod")
# By variable. What the specification's environment gives production.
GIVEN = {
    secret.env: f"value-of-{name}"
    for name, secret in credentials.known(PROD.stack.settings).items()
    if name != "smtp-password"
}


VALUE = "//deciphered.invalid/"


def _value(key: str) -> str:
    """Of the one that is a setting as well, an address."""
    return f"https:{VALUE}{key}" if key == "heartbeatUrl" else f"{VALUE}{key}"


@cache
def secrets(stack: str) -> dict[str, Manifest]:
    """A stack's Secrets by name."""
    found = declared(stack)
    values = credentials.given(found.stack.settings, {}, GIVEN)
    return {item["metadata"]["name"]: item for item in config.secrets(found.stack, found.workloads, values)}


@pytest.mark.parametrize("stack", STACKS)
def test_every_secret_that_is_named_is_made_whole_and_in_its_place(stack: str) -> None:
    found = declared(stack)
    made = {(s["metadata"]["namespace"], s["metadata"]["name"]): set(s["stringData"]) for s in secrets(stack).values()}
    wanted = {
        (namespace, name): set(keys) for namespace, name, keys in config.wanted_secrets(found.stack, found.workloads)
    }
    assert made == wanted
    assert all(value for item in secrets(stack).values() for value in item["stringData"].values())


@pytest.mark.parametrize("tool", ["prometheus", "alertmanager"])
def test_web_endpoints_ask_for_the_password(tool: str) -> None:
    data = secrets("prod")[f"{tool}-secrets"]["stringData"]
    users = documents.load(data["web.yml"])
    assert list(users) == ["basic_auth_users"]
    ((user, hashed),) = users["basic_auth_users"].items()
    assert user == "monitoring"
    password = GIVEN["WEB_PASSWORD"].encode()
    assert bcrypt.checkpw(password, hashed.encode())
    assert not bcrypt.checkpw(password + b".", hashed.encode())
    # What its own probes and its reloader sign in with.
    assert base64.b64decode(data["authorization"]) == b"monitoring:" + password


def test_those_who_ask_have_the_password_itself() -> None:
    found = secrets("prod")
    assert found["prometheus-secrets"]["stringData"]["password"] == GIVEN["WEB_PASSWORD"]
    assert found["grafana-secrets"]["stringData"]["web-password"] == GIVEN["WEB_PASSWORD"]
    assert PROD.jobs["alertmanager"]["basic_auth"] == {"username": "monitoring", "password_file": "/etc/web/password"}


@pytest.mark.parametrize("stack", STACKS)
def test_stores_and_their_exporters_have_the_same_password(stack: str) -> None:
    found = secrets(stack)
    passwords = json.loads(found["redis-exporter-secrets"]["stringData"]["redis-passwords.json"])
    assert passwords == {"redis://redis:6379": GIVEN["REDIS_PASSWORD"]}
    for name in ("postgres-primary-exporter", "postgres-replica-exporter"):
        assert found[f"{name}-secrets"]["stringData"] == {"postgres-password": GIVEN["POSTGRES_PASSWORD"]}
    if stack == "staging":
        assert found["redis-secrets"]["stringData"]["redis-auth.conf"] == f"requirepass {GIVEN['REDIS_PASSWORD']}\n"
        user = found["rabbitmq-secrets"]["stringData"]["20-user.conf"].splitlines()
        assert f"default_pass = {GIVEN['RABBITMQ_PASSWORD']}" in user


def hashed(found: Declared, password: str = "right", **changes: str) -> str:  # noqa: S107 - a test's own
    changed = found.stack.settings.model_copy(update=changes)
    return credentials.derived(changed, {"web-password": password})["web-password-hash"]


def test_the_same_password_has_the_same_hash_and_no_other_stack_has_it() -> None:
    mine = hashed(PROD)
    assert hashed(PROD) == mine
    others = [
        hashed(PROD, password="wrong"),  # noqa: S106 - a test's own
        hashed(declared("staging")),
        hashed(PROD, environment="prod2"),
        hashed(PROD, web_user="somebody"),
    ]
    assert len({mine, *others}) == 5
    # The salts differ as well: from one stack's hash nothing can be told of another's password.
    assert len({text[:29] for text in (mine, *others)}) == 5


def needed(found: Declared) -> set[str]:
    return {credentials.source_of(file.secret) for w in found.workloads for file in w.secret_files}


def test_each_missing_secret_is_named_with_the_command_that_sets_it() -> None:
    current = PROD.stack.settings
    values = credentials.given(current, {}, GIVEN)
    credentials.check(current, PROD.workloads, values, "prod")
    names = needed(PROD)
    assert len(names) == 7
    for name in names:
        left = {key: value for key, value in values.items() if key != name}
        with pytest.raises(InputError) as caught:
            credentials.check(current, PROD.workloads, left, "prod")
        said, variable = str(caught.value), credentials.known(current)[name].env
        assert said.startswith(f"secret {name}: missing, ")
        key = credentials.config_key(name)
        assert f"`pulumi config set --secret monitoring:{key} --stack prod`" in said
        assert f"`export {variable}=...`" in said
        assert said.endswith(".")
        assert "\n" not in said
        # Either way of giving it that the sentence names is one that is taken.
        for configured, environ in (({key: _value(key)}, {}), ({}, {variable: _value(key)})):
            again = credentials.given(
                settings.from_config({**settings.stack_file_values("prod"), **_settings_of(configured)}, "prod"),
                configured,
                environ,
            )
            assert again[name] == _value(key)


def _settings_of(configured: Values) -> Values:
    """What of the configuration is a setting besides."""
    return {key: value for key, value in configured.items() if key in settings.declared()}


def test_the_stack_file_says_which_secrets_it_wants() -> None:
    head = (ROOT / "Pulumi.prod.yaml").read_text().partition("\nconfig:")[0]
    known = credentials.known(PROD.stack.settings)
    named = {name for name, secret in known.items() if re.search(rf"\b{secret.env}\b", head)}
    by_key = {name for name in known if re.search(rf"\b{credentials.config_key(name)}\b", head)}
    assert named == by_key == needed(PROD)


def test_an_empty_variable_is_a_missing_one() -> None:
    values = credentials.given(PROD.stack.settings, {}, {**GIVEN, "WEB_PASSWORD": ""})
    with pytest.raises(InputError, match="secret web-password: missing"):
        credentials.check(PROD.stack.settings, PROD.workloads, values, "prod")


def test_nothing_is_asked_of_the_cluster_before_the_secrets_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cluster, "client", lambda _settings: pytest.fail("the cluster was asked"))
    with pytest.raises(InputError, match=r"secret [a-z-]+: missing"):
        deployed.make_secrets(PROD.stack)


def deploy(root: Path, monkeypatch: pytest.MonkeyPatch, **configured: Any) -> list[render.Resource]:
    """What the engine would be told of stack prod: the program as `pulumi up` runs it, but for the cluster."""
    run = program.run
    monkeypatch.setattr(checks, "find", lambda _tool, _version: None)
    monkeypatch.setattr(cluster, "verify", lambda _settings: None)
    monkeypatch.setattr(program, "run", lambda root, note, rendering: run(root, note, rendering=not rendering))
    return render.resources("prod", configured, root)


def test_secrets_of_the_stack_file_are_passed_over_by_render_and_taken_by_the_program(
    project: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    keys = sorted(credentials.config_key(name) for name in needed(PROD))
    lines = "".join(f"  monitoring:{key}:\n    secure: v1:AAAA{key}=\n" for key in keys)
    edit("Pulumi.prod.yaml", "config:\n", f"config:\n{lines}")
    assert not set(settings.stack_file_values("prod", project)) & set(keys)
    # The engine passes each of them deciphered, beside the settings.
    told = deploy(project, monkeypatch, **{key: _value(key) for key in keys})
    wrapped = {r.name: r.inputs["stringData"] for r in told if r.inputs.get("kind") == "Secret"}
    # Marked as secret, so that the engine shows them in no preview and enciphers them in its state.
    assert all(map(rpc.is_rpc_secret, wrapped.values()))
    found = {name: rpc.unwrap_rpc_secret(value) for name, value in wrapped.items()}
    assert found["Secret/monitoring/alertmanager-secrets"]["heartbeat-url"] == _value("heartbeatUrl")
    assert found["Secret/monitoring/grafana-secrets"]["grafana-admin-password"] == _value("grafanaAdminPassword")
    values = json.dumps([r.inputs for r in told if r.inputs.get("kind") != "Secret"])
    assert VALUE not in values


def test_the_program_stops_at_a_missing_secret_before_it_declares_anything(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="pulumi config set --secret monitoring:webPassword --stack prod"):
        deploy(project, monkeypatch)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis-password", 'quote"d'),
        ("redis-password", "two words"),
        ("rabbitmq-password", "number#one"),
        ("postgres-password", "col:on"),
        ("web-password", "short"),
        ("web-password", "x" * 73),
        ("web-password", "non-ASCII-é"),
    ],
)
def test_a_password_that_its_file_cannot_carry_is_refused_without_showing_it(name: str, value: str) -> None:
    current = declared("staging").stack
    with pytest.raises(InputError, match=rf"^secret {name}: .*`export [A-Z_]+=...`\.$") as caught:
        credentials.check(current.settings, [], {name: value}, current.name)
    assert value not in str(caught.value)
