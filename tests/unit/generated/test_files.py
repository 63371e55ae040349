"""A broken file is either taken whole or refused in one sentence, and a refusal leaves everything as it was."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import assembly, catalog, catalog_rules, documents, hosts, render, rules, secretfiles, settings
from infra.components import alertmanager
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack, load
from infra.workload import Workload
from operate import checkov
from operate.drills import book
from tests.conftest import Tried
from tests.unit.generated import broken
from tests.unit.generated.trying import CANARY, LONG, hold_to_one_sentence, in_time, tries

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Edited:
    """A file that people edit: who reads it first, the stack that is made of it, what a refusal may name instead.

    Some entries are wrong only beside those of another file, which the sentence then names.
    """

    path: str
    read: Read
    stack: str = ""
    beside: tuple[str, ...] = ()


def _settings(stack: str) -> Read:
    return lambda root: settings.load(stack, root)


def _rules(root: Path) -> object:
    return rules.read(load("dev", root=root))


@cache
def _known() -> tuple[Stack, list[str], list[str]]:
    """Stack dev, its alerts and its components, which the drills are held against."""
    stack = load("dev")
    workloads = assembly.workloads(stack)
    alerts = [rule["alert"] for _, rule in rules.load(stack, workloads).alerts]
    return stack, [*alerts, catalog_rules.METRIC_MISSING], [workload.name for workload in workloads]


def _drills(root: Path) -> None:
    stack, alerts, components = _known()
    book.check(book.load(root), alerts, components, stack)


def _inventory(root: Path) -> object:
    return hosts.load("playbooks/inventory", root)


def _routes(root: Path) -> object:
    return alertmanager.config(load("dev", root=root), pagerduty_is_real=False)


SERVICES, CONTRACT = "configs/services.yaml", "configs/contract.yaml"
RULES = tuple(f"configs/prometheus/rules/{path.name}" for path in sorted((ROOT / rules.FOLDER).glob("*.yml")))
GROUPS = tuple(f"playbooks/inventory/{path.name}" for path in (ROOT / "playbooks/inventory").glob("group_vars/*"))
EDITED = (
    Edited("Pulumi.dev.yaml", _settings("dev"), "dev"),
    Edited("Pulumi.prod.yaml", _settings("prod"), "prod"),
    Edited(SERVICES, catalog.load, "dev", (CONTRACT, rules.THRESHOLDS, rules.FOLDER)),
    Edited(CONTRACT, catalog.load, "dev", (SERVICES, rules.FOLDER)),
    Edited(rules.THRESHOLDS, rules.thresholds, "dev", (rules.FOLDER,)),
    *(Edited(path, _rules, "dev", (rules.FOLDER, rules.THRESHOLDS, SERVICES)) for path in RULES),
    Edited("configs/alertmanager/alertmanager.yml", _routes, "dev"),
    Edited(book.FILE, _drills),
    Edited(checkov.EXCEPTIONS, checkov.exceptions),
    *(
        Edited(f"playbooks/inventory/{path}", _inventory, "", ("playbooks/inventory",))
        for path in ("hosts.yml", "group_vars/all.yml", "group_vars/databases.yml")
    ),
)


@pytest.fixture
def root(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose secrets hold the canary, with what an earlier run left."""
    (project / book.FILE).parent.mkdir(parents=True)
    shutil.copy(ROOT / book.FILE, project / book.FILE)
    for left in (".render/dev/compose.yaml", ".secrets/dev/loki.value", ".render/prod/secrets.txt"):
        (project / left).parent.mkdir(parents=True)
        (project / left).write_text("left-by-an-earlier-run")
    for variable in ("SLACK_WEBHOOK_URL", "HEARTBEAT_URL"):
        monkeypatch.setenv(variable, f"https://exchange.com/{CANARY}")
    return project


def valid(root: Path, path: str) -> bytes:
    """The file as it is; a stack's with every setting there is, and secrets where people have them."""
    text = (root / path).read_bytes()
    if not path.startswith("Pulumi."):
        return text
    document = documents.load(text.decode())
    every = {f"monitoring:{key}": item["default"] for key, item in settings.declared().items()}
    secret = {"monitoring:heartbeatUrl": f"https://hc.exchange.com/{CANARY}"}
    document["config"] = {**every, **document["config"], **secret, "monitoring:webPassword": {"secure": CANARY}}
    return documents.dump(document).encode()


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Every file below the project with its size and the time of its last change."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            state = (Path(folder) / name).lstat()
            found[f"{folder}/{name}"] = (state.st_size, state.st_mtime_ns)
    return found


def outcome(edited: Edited, root: Path, whole: bool) -> str:
    """What becomes of the file as it now is. Raises AssertionError where it is neither taken nor refused well."""
    before = tree(root)
    try:
        with in_time():
            edited.read(root)
            if whole and edited.stack:
                _taken(edited.stack, root)
    except InputError as error:
        names = (edited.path, *edited.beside)
        hold_to_one_sentence(str(error))
        if not any(name in str(error) for name in names):
            pytest.fail(f"names no file: {error}")
        assert tree(root) == before, "something was written although the input was refused"
        return "refused in one sentence"
    return "taken"


def _taken(stack: str, root: Path) -> None:
    """A stack of it: each file that is rendered is YAML or JSON, and the same each time."""
    files = render.files(stack, root=root)
    for name, text in files.items():
        if name.endswith((".yaml", ".json")):
            assert list(documents.load_all(text)), name
    if LONG:
        assert render.files(stack, root=root) == files


@pytest.mark.parametrize("edited", EDITED, ids=lambda edited: edited.path)
def test_broken_file(root: Path, edited: Edited, tried: Tried) -> None:
    good, path, tally = valid(root, edited.path), root / edited.path, Counter[str]()

    @tries(10)
    @given(broken.of(good), st.integers(0, 7))
    def try_each(text: bytes, chance: int) -> None:
        path.write_bytes(text)
        try:
            tally[outcome(edited, root, whole=LONG or chance == 0)] += 1
        finally:
            path.write_bytes(good)

    path.write_bytes(good)
    assert outcome(edited, root, whole=LONG) == "taken", "what is broken here must first be whole"
    try_each()
    tried("files", tally)


@pytest.mark.parametrize("edited", EDITED, ids=lambda edited: edited.path)
def test_something_else_in_a_files_place(root: Path, edited: Edited) -> None:
    path = root / edited.path
    for place in broken.INSTEAD.values():
        path.unlink(missing_ok=True)
        place(path)
        said = outcome(edited, root, whole=False)
        # A rule file or a host's variables need not be there.
        assert said == "refused in one sentence" or edited.path in RULES or "inventory" in edited.path
        if path.is_dir():
            path.rmdir()


# What was found once: the file, a text of it, what stands there instead, and words of the refusal.
FOUND = (
    ("Pulumi.dev.yaml", "config:\n", "config:\n  1: 2\n", "the key 1 is no text"),
    ("Pulumi.dev.yaml", "config:\n", "config:\n  monitoring:retentionDays: 2024-13-45\n", "month must be in 1..12"),
    ("Pulumi.dev.yaml", "config:\n", f"config:\n  monitoring:heartbeatUrl: [{CANARY}]\n", "heartbeatUrl: is no text"),
    (SERVICES, "services:\n", "services: true\nmore:\n", "services"),
    (SERVICES, "simulate: {chain: bitcoin}", "simulate: {}", "must name the node's `chain`"),
    (SERVICES, "[http, accounts]", "[http, http]", "has 'http' twice"),
    (SERVICES, "hosts: [redis]", 'hosts: ["a|b"]', "dependencies.redis.hosts[0]: is 'a|b'"),
    (CONTRACT, "kyc_submitted_total:", "kyc_received_total:", "has no counter kyc_submitted_total"),
    (CONTRACT, "buckets: [0.005, 0.01,", "buckets: [0.01, 0.005,", "must ascend"),
    (rules.THRESHOLDS, "threshold: 0.05,", "threshold: .nan,", "a finite number"),
    (rules.THRESHOLDS, "HighErrorRate:", "HighErrorRate: {threshold: 1, unit: a}\nHighErrorRate:", "stands twice"),
    (f"{rules.FOLDER}/dashboards.yml", "interval: ", "interval: x", "interval: is 'x"),
    (
        f"{rules.FOLDER}/dashboards.yml",
        "market:trade_volume_usd:rate5m",
        "market:volume_usd:rate5m",
        "a dashboard counts",
    ),
    ("configs/alertmanager/alertmanager.yml", "global:\n", "global: 1\nglobe:\n", "global: is no mapping"),
)


@pytest.mark.parametrize(("path", "old", "new", "said"), FOUND)
def test_what_was_found_once(root: Path, path: str, old: str, new: str, said: str) -> None:
    text = (root / path).read_text()
    assert old in text
    (root / path).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        render.files("dev", root=root)
    hold_to_one_sentence(str(caught.value), path.split("/", maxsplit=1)[0], said)


def _known_at(root: Path) -> Stack:
    return replace(_known()[0], root=root)


@cache
def _parts() -> list[Workload]:
    return assembly.workloads(_known()[0])


# What `make` itself left, by the stack that reads it.
LEFT: dict[str, Callable[[Path], object]] = {
    ".images/built.json": lambda root: load("dev", root=root),
    ".secrets/dev/postgres-password.value": lambda root: secretfiles.write(_known_at(root), _parts(), {}),
}
VALID = {
    ".images/built.json": b'{"source": "built", "images": {"loki": {"image": "a:1", "version": "1"}}}',
    ".secrets/dev/postgres-password.value": b"kept-from-the-first-start",
}


@pytest.mark.parametrize("left", LEFT)
def test_what_was_left_is_damaged(root: Path, left: str, tried: Tried) -> None:
    path, tally = root / left, Counter[str]()
    path.parent.mkdir(parents=True, exist_ok=True)

    @tries(10)
    @given(broken.of_words(VALID[left]))
    def try_each(text: bytes) -> None:
        path.write_bytes(VALID[left])
        LEFT[left](root)
        path.write_bytes(text)
        tally[outcome(Edited(left, LEFT[left]), root, whole=False)] += 1

    try_each()
    tried("files", tally)
