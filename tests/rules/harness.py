"""Turns the cases of one alert into a promtool test file: fires, and the four ways to stay quiet.

A case file below cases/ maps an alert to its series. Each series has a value per phase of a timeline:
`good`, `bad` (the fault), `edge` (just below the threshold), `idle` (no traffic). A plain number is a
gauge's value; a text such as "+90" is what a counter grows by in each sample, one such as "60 -0.5" a gauge
that begins the phase at 60 and changes by -0.5. A phase that a series does not name is like `good`.

    HighErrorRate:
      series:
        http_requests_total{service="a", status="200"}: {good: "+100", bad: "+90", edge: "+96", idle: "+0"}
        http_requests_total{service="a", status="503"}: {good: "+0", bad: "+10", edge: "+4", idle: "+0"}
      fires_after: 5m30s     # from the first bad sample to firing; not one evaluation earlier
      heals_before: 4m       # bad for so long must not fire (default: one sample less than fires_after)
      labels: {...}          # all labels of the alert but alertname
      summary: "..."         # and `description` where the rule's has a template beyond `$labels.x`
      vanish: {says: MetricMissing}   # which alert speaks when the series end; or {silent: "the reason"}
      idle: "reason"         # only where no traffic is no case for this alert
      more: [...]            # further timelines: {name, timeline: [[good, 5m], [bad, 1m]], fires: true|false|still},
                           # each with series, labels, summary of its own where they differ; `still`
                           # means firing at the end, whenever it began

`sample` (15s) and `step` (the evaluation interval, 15s) can be set, `warmup` (10m) too. Every target of
the stack that a case does not name answers all the while: `up`, `probe_success`, `pg_up`, `redis_up` are 1.
"""

import functools
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from infra import assembly, documents
from infra.stack import Stack
from operate import promql

CASES = sorted((Path(__file__).parent / "cases").glob("*.yml"))
PHASES = ("good", "bad", "edge", "idle")
# What a series looks like once its target stopped exposing it.
GONE = "gone"

Rule = dict[str, Any]
Timeline = list[tuple[str, int]]


def seconds(text: str) -> int:
    """A Prometheus duration such as 1m30s in seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+)([smhd])", text)
    if "".join(f"{n}{u}" for n, u in parts) != text:
        raise ValueError(f"{text!r} is no duration; write for example 1m30s")
    return sum(int(number) * units[unit] for number, unit in parts)


@dataclass(frozen=True)
class Case:
    """One alert's case, as the file gives it."""

    alert: str
    series: dict[str, dict[str, float | str]]
    fires_after: str
    labels: dict[str, str]
    summary: str
    vanish: dict[str, str]
    edge: str = ""  # the reason why there is no value just below the threshold
    idle: str = ""  # the reason why traffic does not matter
    heals_before: str = ""
    description: str = ""
    sample: str = "15s"
    step: str = "15s"
    warmup: str = "10m"
    vanishing: list[str] = field(default_factory=list)  # of up, probe_success ..., which else stay
    others: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # filled in: see background()
    more: list[dict[str, Any]] = field(default_factory=list)

    def phases(self) -> set[str]:
        """The phases that some series has a value of its own for."""
        return {phase for values in self.series.values() for phase in values}


@functools.cache
def cases() -> dict[str, Case]:
    """Every case by alert, in the order of the files. Keys that begin with a dot are YAML anchors."""
    return {
        alert: Case(alert=alert, **given)
        for path in CASES
        for alert, given in (documents.load(path.read_text()) or {}).items()
        if not alert.startswith(".")
    }


def background(stack: Stack) -> dict[tuple[str, str], list[str]]:
    """The series of a stack in which everything answers, by metric and service."""
    prometheus = next(w for w in assembly.workloads(stack) if w.name == "prometheus")
    config = documents.load(next(f.content for f in prometheus.config_files if f.path.endswith("prometheus.yml")))
    found: dict[tuple[str, str], list[str]] = {}
    for job in config["scrape_configs"]:
        for target in job["static_configs"]:
            for address in target["targets"]:
                labels = {"job": job["job_name"], "instance": address, **target["labels"]}
                text = ", ".join(f'{name}="{value}"' for name, value in labels.items())
                extra = {"health": ["probe_success"], "postgres": ["pg_up"], "redis": ["redis_up"]}
                for metric in ["up", *extra.get(labels["job"], [])]:
                    found.setdefault((metric, labels["service"]), []).append(f"{metric}{{{text}}}")
    return found


def deployed_rules(stack: Stack) -> list[Rule]:
    """All rules of the stack as Prometheus gets them, in the order of their files and groups."""
    prometheus = next(w for w in assembly.workloads(stack) if w.name == "prometheus")
    files = [f for f in prometheus.config_files if "/rules/" in f.path]
    return [rule for file in files for group in documents.load(file.content)["groups"] for rule in group["rules"]]


def needed(rules: list[Rule], case: Case) -> list[Rule]:
    """The rules of the alert and of the one that speaks for it, and every recording rule they read.

    Each stands after those it reads. Of the many MetricMissing only those of this alert's metrics.
    """
    recorded: dict[str, list[Rule]] = {}
    for rule in rules:
        if "record" in rule:
            recorded.setdefault(rule["record"], []).append(rule)
    chosen: list[Rule] = []

    def add(rule: Rule) -> None:
        if any(rule is other for other in chosen):
            return
        for name in promql.names(rule["expr"]):
            for source in recorded.get(name, []):
                wanted = source.get("labels", {}).get("alert")
                # The thresholds of other alerts would only slow the test down.
                if source is not rule and (wanted is None or f'"{wanted}"' in rule["expr"]):
                    add(source)
        for name in re.findall(r'ALERTS\{[^}]*alertname="(\w+)"', rule["expr"]):
            for other in (r for r in rules if r.get("alert") == name):
                add(other)
        chosen.append(rule)

    for rule in rules:
        if rule.get("alert") == case.alert and rule["labels"].get("metric") in (None, case.labels.get("metric")):
            add(rule)
    read = {name for rule in chosen for name in promql.names(rule["expr"])}
    for rule in rules:
        speaks = "alert" in rule and rule["alert"] == case.vanish.get("says")
        if speaks and rule["labels"].get("metric", "up") in {"up", *read}:
            add(rule)
    return chosen


def values(given: dict[str, float | str], timeline: Timeline, sample: int) -> str:
    """promtool's notation for one series over a timeline of (phase, seconds)."""
    total, parts = 0.0, []
    for phase, length in timeline:
        count = length // sample
        if phase == GONE:
            parts.append(f"stale _x{count - 1}")
            continue
        value = given.get(phase, given["good"])
        if value == "absent":
            # As a lost scrape does it: without the marker the last value would linger for five minutes.
            parts.append(f"stale _x{count - 1}" if count > 1 else "stale")
        elif isinstance(value, str) and " " in value:
            level, growth = map(float, value.split())
            parts.append(f"{level:.10g}{growth:+.10g}x{count - 1}")
        elif isinstance(value, str):
            growth = float(value)
            parts.append(f"{total + growth:.10g}+{growth:.10g}x{count - 1}")
            total += growth * count
        else:
            parts.append(f"{value:.10g}x{count - 1}")
    return " ".join(parts)


def _group(case: Case, name: str, timeline: Timeline) -> dict[str, Any]:
    sample = seconds(case.sample)
    named = {(key.partition("{")[0], _service(key)) for key in case.series}
    steady = values({"good": 1}, [("good", sum(length for _, length in timeline))], sample)
    others = [key for which, keys in case.others.items() if which not in named for key in keys]
    series = [{"series": key, "values": steady} for key in others]
    for key, given in case.series.items():
        metric = key.partition("{")[0]
        kept = metric in {"up", "probe_success"} and metric not in case.vanishing
        shown = [("good" if phase == GONE and kept else phase, length) for phase, length in timeline]
        series.append({"series": key, "values": values(given, shown, sample)})
    return {"name": f"{case.alert}: {name}", "interval": case.sample, "input_series": series}


def _service(key: str) -> str:
    match = re.search(r'service="([^"]*)"', key)
    return match[1] if match else ""


def _chosen(labels: dict[str, str]) -> str:
    """What the alert's link chooses on its dashboard."""
    stores = {"node": "host", "postgres": "server"}
    chosen: dict[str, str] = {}
    if "tier" in labels:
        chosen |= {name: labels[name] for name in ("service", "instance") if name in labels}
    if labels.get("job") in stores:
        chosen[stores[labels["job"]]] = labels["instance"]
    chosen |= {name: labels[name] for name in ("asset", "chain", "market", "queue") if name in labels}
    return "".join(f"&var-{name}={quote_plus(value)}" for name, value in chosen.items())


def never(case: Case, name: str, timeline: Timeline) -> dict[str, Any]:
    """A test in which the alert never fires."""
    total = sum(length for _, length in timeline)
    fired = f'count_over_time(ALERTS{{alertname="{case.alert}", alertstate="firing"}}[{total}s])'
    checks = [{"expr": f"count by (alertname) ({fired})", "eval_time": f"{total}s", "exp_samples": []}]
    return {**_group(case, name, timeline), "promql_expr_test": checks}


def rule_of(case: Case, rules: list[Rule]) -> Rule:
    """The rule of the alert; of the many MetricMissing the one of the case's metric."""
    metric = case.labels.get("metric")
    return next(r for r in rules if r.get("alert") == case.alert and r["labels"].get("metric") in (None, metric))


def annotations_of(case: Case, rule: Rule) -> dict[str, str]:
    """The annotations the alert fires with; what a template computes beyond labels the case gives itself."""
    spoken = {
        name: re.sub(r"{{ \$labels\.(\w+) }}", lambda match: case.labels.get(match[1], ""), text)
        for name, text in rule["annotations"].items()
    }
    spoken["dashboard_url"] = rule["annotations"]["dashboard_url"].partition("{{")[0] + _chosen(case.labels)
    return spoken | {"summary": case.summary} | ({"description": case.description} if case.description else {})


def _fires(case: Case, rule: Rule, name: str, timeline: Timeline, at: int, *, still: bool = False) -> dict[str, Any]:
    expected = [{"exp_labels": case.labels, "exp_annotations": annotations_of(case, rule)}]
    checks = [
        {"alertname": case.alert, "eval_time": f"{at - seconds(case.step)}s", "exp_alerts": []},
        {"alertname": case.alert, "eval_time": f"{at}s", "exp_alerts": expected},
    ]
    return {**_group(case, name, timeline), "alert_rule_test": checks[1:] if still else checks}


def _vanishes(case: Case, warmup: int) -> dict[str, Any]:
    sample, step = seconds(case.sample), seconds(case.step)
    whole = max(sample, step)
    length = -(-max(900, seconds(case.fires_after) + 300, 3 * whole) // whole) * whole
    total = warmup + length
    says, service = case.vanish["says"], case.vanish.get("service", case.labels.get("service", ""))
    firing = f'ALERTS{{alertname="{says}", alertstate="firing", service="{service}"}}'
    speaks = f"count by (alertname) ({firing}) > bool 0"
    checks = [
        {"expr": speaks, "eval_time": f"{warmup}s", "exp_samples": []},
        {
            "expr": speaks,
            "eval_time": f"{total - max(60, step)}s",
            "exp_samples": [{"labels": f'{{alertname="{says}"}}', "value": 1}],
        },
    ]
    group = _group(case, "its series vanish", [("good", warmup), (GONE, length)])
    return {**group, "promql_expr_test": checks}


def _bystanders(case: Case, chosen: list[Rule]) -> dict[tuple[str, str], list[str]]:
    """The background without what no rule here would notice: it costs most of a test's time."""
    if any(":expected" in rule["expr"] for rule in chosen if rule.get("record") != "alert:subject"):
        return case.others
    involved = {_service(key) for key in case.series} | {case.labels.get("service", "")}
    return {which: keys for which, keys in case.others.items() if which[1] in involved}


def promtool_file(case: Case, rules: list[Rule]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rule file and the test file for one alert. The longest timelines make the slowest tests."""
    chosen = needed(rules, case)
    case = replace(case, others=_bystanders(case, chosen))
    warmup, after = seconds(case.warmup), seconds(case.fires_after)
    heals = seconds(case.heals_before) if case.heals_before else after - seconds(case.sample)
    rule = rule_of(case, rules)
    long = after + max(600, 2 * seconds(case.sample))
    groups = [_fires(case, rule, "fires", [("good", warmup), ("bad", long)], warmup + after)]
    if heals > 0:
        groups.append(never(case, "heals just before", [("good", warmup), ("bad", heals), ("good", long)]))
    if not case.edge:
        groups.append(never(case, "just below the threshold", [("good", warmup), ("edge", 2 * long)]))
    if not case.idle:
        groups.append(never(case, "no traffic", [("good", warmup), ("idle", long + 1800)]))
    if "says" in case.vanish:
        groups.append(_vanishes(case, warmup))
    for other in case.more:
        timeline = [(phase, seconds(length)) for phase, length in other["timeline"]]
        own = replace(case, **{k: other[k] for k in ("series", "labels", "summary", "description") if k in other})
        if other["fires"]:
            at = sum(length for _, length in timeline)
            phase, length = timeline[-1]
            longer = [*timeline[:-1], (phase, length + max(60, seconds(case.sample)))]
            groups.append(_fires(own, rule, other["name"], longer, at, still=other["fires"] == "still"))
        else:
            groups.append(never(own, other["name"], timeline))
    rule_file = {"groups": [{"name": "under test", "rules": chosen}]}
    return rule_file, {"rule_files": ["rules.yml"], "evaluation_interval": case.step, "tests": groups}
