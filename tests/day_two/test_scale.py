"""The smallest size of `make bench ONLY=scale`, in its short form: the deployed rules keep their bounds over it."""

import dataclasses
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from infra import documents
from infra.errors import InputError
from infra.stack import Stack, load
from operate import tools
from operate.bench import exchange, scale, window
from operate.bench.exchange import Exchange
from operate.bench.figures import SHARE
from operate.quiet_week import targets
from tests.conftest import Figure

SIZE = 10_000
# A scrape more or less at the edges is not a missing one: two intervals are the least.
SHORT = scale.Plan({}, warm=16, watched=30, whole=False)


@pytest.fixture(scope="module")
def dev() -> Stack:
    return load("dev")


@pytest.fixture(scope="module")
def made(dev: Stack) -> Exchange:
    return exchange.generate(dev, 30_000)


@pytest.fixture
def answering(made: Exchange) -> Iterator[int]:
    with made.answering(tools.ensure("exchange")) as (port, _):
        yield port


def test_ten_thousand_series_stay_within_the_bounds(dev: Stack, figure: Figure) -> None:
    step = scale.measure(dev, SIZE, SHORT)
    assert step.head > 0.8 * SIZE
    assert {"availability", "requests", "recording"} <= {group.name for group in step.ruled.groups}
    assert step.ruled.samples > 0.5 * step.scraped / 15
    assert not step.beyond()
    assert step.firing == 0, "the generated exchange is well: no alert fires"
    worst = step.ruled.slowest
    figure(
        f"{step.head:,} series: {step.ruled.cores:.3f} cores, {worst.name} takes {worst.share:.1%} of its interval "
        f"(bound {SHARE:.0%})"
    )


def test_a_bound_that_does_not_hold_is_told(dev: Stack) -> None:
    slow = "count(count_over_time({__name__=~'.+'}[30s:50ms])) > 0"
    group = {"name": "slow", "interval": "100ms", "rules": [{"alert": "Slow", "expr": slow}]}
    text = documents.dump({"groups": [group]})
    plan = dataclasses.replace(SHORT, warm=10, watched=20, rules={"slow.yml": text})
    assert any("group slow took" in one for one in scale.measure(dev, SIZE, plan).beyond())


def test_the_configuration_is_the_deployed_one(dev: Stack, made: Exchange) -> None:
    deployed = targets.deployment(made.stack)
    assert sum(len(documents.load(text)["groups"]) for text in made.rules.values()) == len(deployed.facts.groups)
    jobs = {entry["job_name"]: entry for entry in made.config["scrape_configs"]}
    assert set(jobs) >= set(dev.catalog.by_name)
    for entry in made.through(1)["scrape_configs"]:
        assert entry.pop("proxy_url") == "http://127.0.0.1:1"
        assert entry == jobs[entry["job_name"]]
    services = len(made.stack.catalog.services)
    assert len(jobs["api-gateway"]["static_configs"]) == made.instances
    names = [group["labels"]["instance"] for group in jobs["node"]["static_configs"]]
    assert len(names) == len(set(names)) >= services * made.instances / 10


def test_every_target_answers_with_what_is_counted(made: Exchange, answering: int) -> None:
    proxies = {"http": f"http://127.0.0.1:{answering}"}
    shown = 0
    for address in made.shown:
        answer = requests.get(f"http://{address}", proxies=proxies, timeout=5)
        assert answer.ok, address
        shown += sum(not line.startswith("#") for line in answer.text.splitlines()) + 5
    assert shown == made.series
    assert 0.8 < shown / 30_000 < 1.2
    assert requests.get("http://nowhere:1/metrics", proxies=proxies, timeout=5).status_code == 404


def test_counters_rise_and_never_fall(dev: Stack) -> None:
    fast = dataclasses.replace(dev, settings=dev.settings.model_copy(update={"scrape_interval_seconds": 1}))
    made = exchange.generate(fast, SIZE)
    with made.answering(tools.ensure("exchange")) as (port, _):
        looks = [_values(port), _after_a_step(port), _after_a_step(port)]
    for earlier, later in pairwise(looks):
        counters = [name for name in earlier if name.partition("{")[0].endswith(("_total", "_bucket", "_count"))]
        assert all(later[name] >= earlier[name] for name in counters)
        assert sum(later[name] > earlier[name] for name in counters) > len(counters) / 4


def _values(port: int) -> dict[str, float]:
    answer = requests.get("http://api-gateway:8080/metrics", proxies={"http": f"http://127.0.0.1:{port}"}, timeout=5)
    lines = [line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def _after_a_step(port: int) -> dict[str, float]:
    before = _values(port)
    for _ in window.wait(5, "a step"):
        pass
    after = _values(port)
    assert after != before
    return after


def test_a_size_that_does_not_fit_is_not_tried(dev: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "available", lambda: window.LEFT + 10**9)
    with pytest.raises(window.NoRoomError, match=r"1,000,000 series need about 8\.6 GiB, and 0\.9 GiB are available"):
        scale.measure(dev, 1_000_000, SHORT)


def test_nothing_is_left_when_memory_runs_out_on_the_way(
    dev: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(scale, "check_room", print)
    monkeypatch.setattr(window, "available", lambda: 0)
    before = _children()
    with pytest.raises(window.NoRoomError, match="before the machine suffers"):
        scale.measure(dev, SIZE, SHORT)
    assert not list(tmp_path.iterdir())
    assert _children() == before


def _children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


def test_other_rules_are_read_from_files_folders_and_operators_objects(tmp_path: Path) -> None:
    groups = {"groups": [{"name": "one", "rules": [{"alert": "A", "expr": "up == 0"}]}]}
    (tmp_path / "plain.yml").write_text(documents.dump(groups))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/object.yaml").write_text(documents.dump({"kind": "PrometheusRule", "spec": groups}))
    (tmp_path / "deep/other.yaml").write_text("kind: ConfigMap\n")
    found = scale.read_rules(tmp_path)
    assert set(found) == {"plain.yml", "deep-object.yml"}
    assert all(documents.load(text) == groups for text in found.values())
    assert set(scale.read_rules(tmp_path / "plain.yml")) == {"plain.yml"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ten", "--series 'ten': not a list of whole numbers such as 10000,30000; correct it."),
        ("5000,20000", "--series 5000,20000: the catalog alone has some 10,000 series; ask for so many or more."),
    ],
)
def test_a_wrong_list_of_sizes_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError) as refused:
        scale.sizes(text)
    assert str(refused.value) == reason


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file there has `groups` of rules"):
        scale.read_rules(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        scale.read_rules(tmp_path / "absent.yml")
    (tmp_path / "broken.yml").write_text("groups: [")
    with pytest.raises(InputError, match=r"broken.yml: cannot be read \(while parsing"):
        scale.read_rules(tmp_path)


def test_a_stack_that_discovers_its_targets_is_refused() -> None:
    with pytest.raises(InputError, match="measure with STACK=dev"):
        exchange.generate(load("prod"), SIZE)
