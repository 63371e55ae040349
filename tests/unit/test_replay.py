"""Rules replayed over history fire when Prometheus' own rule engine, asked through promtool, makes them fire."""

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra import documents
from infra.errors import InputError
from operate import promql, replay, tools
from operate.quiet_week import simulation
from operate.quiet_week.tsdb import Tsdb
from operate.replay import Episode, Rule

INTERVAL = 30
SAMPLES = 120
END = (SAMPLES - 1) * INTERVAL
TIMES = np.arange(0, END + 1, INTERVAL, dtype=np.float64)

# Levels that cross 5 in runs of one to nine samples, with gaps; None is a scrape that was lost.
RANDOM = random.Random(7)  # noqa: S311
FLAPPING: dict[str, list[float | None]] = {
    name: [
        value for _ in range(SAMPLES) for value in [RANDOM.choice([9.0, 2.0, 9.0, None])] * RANDOM.randint(1, longest)
    ][:SAMPLES]
    for name, longest in (("a", 2), ("b", 5), ("c", 9), ("d", 12))
}
RULES = """
groups:
  - name: spells
    rules:
      - {record: 'level:doubled', expr: '2 * level'}
      - {alert: AtOnce, expr: 'level > 5', labels: {severity: critical}}
      - {alert: AfterTwoMinutes, expr: 'level > 5', for: 2m, labels: {severity: warning}}
      - {alert: KeptOneMinute, expr: 'level > 5', keep_firing_for: 1m, labels: {severity: warning}}
      - {alert: AfterAndKept, expr: 'level > 5', for: 90s, keep_firing_for: 3m, labels: {of: '{{ $labels.name }}!'}}
      - {alert: KeptOddly, expr: 'level{name="a"} > 5', for: 45s, keep_firing_for: 100s, labels: {name: ''}}
      - {alert: OfRecorded, expr: 'level:doubled > 10', for: 1m, labels: {severity: info}}
      - {alert: OfAlerts, expr: 'ALERTS{alertname="AfterTwoMinutes", alertstate="firing"} and on () level'}
"""


def _levels(folder: Path, lookback: float) -> Tsdb:
    tsdb = Tsdb(folder, tools.ensure("prometheus"), tools.ensure("promtool"), lookback, INTERVAL)
    tsdb.write(TIMES, [({"__name__": "level", "name": name}, _array(values)) for name, values in FLAPPING.items()])
    return tsdb


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Prometheus with the flapping levels, whose gaps it bridges for five minutes."""
    with _levels(tmp_path_factory.mktemp("history"), lookback=300.001).serve() as url:
        yield url


@pytest.mark.parametrize("interval", [15, 30, 60])
def test_episodes_are_those_of_promtool(history: str, tmp_path: Path, interval: int) -> None:
    rules = _alone(replay.read([RULES], interval))
    episodes = replay.replay(history, rules, 0, END)
    assert {episode.alert for episode in episodes} == {rule.name for rule in rules}
    assert any(episode.end is None for episode in episodes), "an alert that still fires at the end belongs to the cases"
    assert _promtool(tmp_path, episodes, interval=interval) == ""


def test_so_are_those_of_rules_that_read_rules(tmp_path: Path) -> None:
    """With a lookback of one sample a gap ends a series as the staleness marker of a lost scrape does."""
    rules = replay.read([RULES], INTERVAL)
    episodes = simulation.replay_rules(_levels(tmp_path, lookback=INTERVAL), TIMES, rules)
    assert {episode.alert for episode in episodes} == {rule.name for rule in rules if rule.alerting}
    assert _promtool(tmp_path, episodes, gap="stale") == ""


def test_promtool_sees_one_evaluation_too_many(history: str, tmp_path: Path) -> None:
    episodes = replay.replay(history, _alone(replay.read([RULES], INTERVAL)), 0, END)
    place = next(number for number, episode in enumerate(episodes) if episode.end is not None)
    first = episodes[place]
    episodes[place] = Episode(first.alert, first.labels, first.since, first.start, (first.end or 0) + INTERVAL)
    assert first.alert in _promtool(tmp_path, episodes)


def test_a_long_history_is_asked_in_pieces(history: str) -> None:
    rule = Rule("Steps", "vector(1) > bool 0", {}, 1.0, alerting=True)
    [(_, samples)] = replay.History(history).series(rule, 0, 25_000)
    assert [at for at, _ in samples] == list(range(25_001))


def test_results_with_the_same_labels_are_refused(history: str) -> None:
    rule = Rule("Twice", "level > 0", {"name": "same"}, INTERVAL, alerting=True)
    with pytest.raises(InputError, match="Twice: two results have the labels"):
        replay.History(history).series(rule, 0, END)


def test_a_refused_expression_names_its_rule(history: str) -> None:
    with pytest.raises(InputError, match="rule Broken: Prometheus refuses its expression"):
        replay.History(history).series(Rule("Broken", "level >", {}, INTERVAL, alerting=True), 0, END)


def test_rules_come_after_what_they_read() -> None:
    ordered = [[rule.name for rule in together] for together in replay.passes(replay.read([RULES], INTERVAL))]
    assert {"level:doubled", "AfterTwoMinutes"} <= set(ordered[0])
    assert ordered[1:] == [["OfRecorded", "OfAlerts"]]


def test_a_rule_that_reads_itself_is_refused() -> None:
    with pytest.raises(InputError, match="rule a:b reads its own output"):
        replay.passes([Rule("a:b", "c:d + 1", {}, 15, alerting=False), Rule("c:d", "a:b", {}, 15, alerting=False)])


def test_thresholds_and_short_lived_recordings_are_written_out() -> None:
    rules = [
        Rule("threshold", "0 * up + 5", {"alert": "A"}, 15, alerting=False),
        Rule("threshold", "0 * up + 7", {"alert": "B"}, 15, alerting=False),
        Rule("quick", "up == 0", {}, 5, alerting=False),
        Rule("slow", "rate(x[5m])", {}, 60, alerting=False),
        Rule("unread", "rate(y[5m])", {}, 60, alerting=False),
        Rule("B", 'slow > on (service) threshold{alert="B"} unless quick and max_over_time(quick[30s])', {}, 15, True),
    ]
    kept = {rule.name: rule.expr for rule in replay.prepare(rules, lookback=15)}
    assert kept == {
        "quick": "up == 0",
        "slow": "rate(x[5m])",
        "B": 'slow > on (service) (label_replace((0 * up + 7), "alert", "B", "", "")) '
        "unless ((up == 0)) and max_over_time(quick[30s])",
    }


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ('sum by (job, le) (rate(a_bucket{le="0.5", path=~"{x}"}[5m] offset 1d))', {"a_bucket"}),
        ('up{job!="b"} * on (instance) group_left (team) {__name__="c:d"} or vector(1)', {"up", "c:d"}),
        ("count without (cpu) (e) > bool 1e3 and on () f @ end() # g", {"e", "f"}),
        ('label_replace(max_over_time((h > inf)[1h:1m]), "x", "$1", "y", "z(.*)")', {"h"}),
        ("topk(3, i) by (job) unless j == NaN", {"i", "j"}),
    ],
)
def test_metrics_of_an_expression(expr: str, names: set[str]) -> None:
    assert promql.names(expr) == names


def _array(values: list[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if value is None else value for value in values])


def _alone(rules: list[Rule]) -> list[Rule]:
    """The rules that need nothing recorded before them."""
    return [rule for rule in rules if rule.alerting and rule.name not in ("OfRecorded", "OfAlerts")]


def _promtool(folder: Path, episodes: list[Episode], gap: str = "_", interval: int = INTERVAL) -> str:
    """What promtool finds different from the episodes at any evaluation; empty where they agree."""
    names = {episode.alert for episode in episodes}
    document = documents.load(RULES)
    for group in document["groups"]:
        group["rules"] = [rule for rule in group["rules"] if "record" in rule or rule["alert"] in names]
    (folder / "rules.yml").write_text(documents.dump(document))
    checks = []
    for at in range(0, END + 1, interval):
        firing = [e for e in episodes if (e.start or 0) <= at and (e.end is None or at < e.end)]
        samples = [{"labels": _series({**e.labels, "alertstate": "firing"}), "value": 1} for e in firing]
        checks.append({"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{at}s", "exp_samples": samples})
    values = {
        f'level{{name="{name}"}}': " ".join(gap if value is None else f"{value:g}" for value in levels)
        for name, levels in FLAPPING.items()
    }
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{interval}s",
        "tests": [
            {
                "interval": f"{INTERVAL}s",
                "input_series": [{"series": series, "values": text} for series, text in values.items()],
                "promql_expr_test": checks,
            }
        ],
    }
    (folder / "test.yml").write_text(documents.dump(test))
    command = [str(tools.ensure("promtool")), "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _series(labels: dict[str, str]) -> str:
    return f"ALERTS{{{', '.join(f'{key}={json.dumps(value)}' for key, value in sorted(labels.items()))}}}"
