"""The runbooks: what each one opens with follows from its rule; the rest is written by hand."""

import re
from pathlib import Path
from typing import Any

from infra import assembly, rules, stack
from infra.rules import FOLDER
from infra.settings import ROOT

RUNBOOKS = "docs/runbooks"
SECTIONS = (
    "Meaning",
    "Customer impact",
    "First three checks",
    "Likely causes",
    "Mitigation",
    "Escalation",
    "It is over when",
)
_GOES_TO = {
    "critical": "PagerDuty and Slack",
    "warning": "Slack",
    "info": "the daily digest",
    "none": "the receiver of the heartbeat",
}
_FIRST_SECTION = f"## {SECTIONS[0]}\n"


def headers() -> dict[str, str]:
    """What the runbook of each alert opens with, by the alert's name."""
    current = stack.load("dev")
    workloads = assembly.workloads(current)
    alerting = rules.load(current, workloads)
    found: dict[str, str] = {}
    for file, document in rules.deployed(current, workloads).items():
        for rule in (rule for group in document["groups"] for rule in group["rules"] if "alert" in rule):
            # One that the catalog generates comes once for each metric.
            name = rule["alert"]
            found.setdefault(name, _header(file, rule, _threshold(name, alerting)))
    return found


def _threshold(alert: str, alerting: rules.Alerting) -> str:
    """The default of an alert, and that of each service with another."""
    if alert not in alerting.thresholds:
        return "none"
    limit, tuned = alerting.thresholds[alert], alerting.tuning.get(alert, {})
    own = [f"{name} {tuning.threshold:g}" for name, tuning in tuned.items() if tuning.threshold is not None]
    return "; ".join([f"{limit.threshold:g} {limit.unit}", *own])


def source(file: str, root: Path) -> str:
    """Where the rules of a deployed file are written: by hand below configs/, or by the program from the catalog."""
    return f"{FOLDER}/{file}" if (root / FOLDER / file).exists() else "infra/catalog_rules.py"


def _header(file: str, rule: dict[str, Any], threshold: str) -> str:
    name, labels = rule["alert"], rule["labels"]
    uid = re.findall(r"/d/([a-z-]+)", rule["annotations"]["dashboard_url"])[0]
    origin = source(file, ROOT)
    security = " and those of team security" if labels.get("category") == "security" else ""
    cells = {
        "severity": labels["severity"],
        "goes to": f"{_GOES_TO[labels['severity']]} of the owner{security}"
        if labels["severity"] != "none"
        else _GOES_TO["none"],
        "waits": str(rule.get("for", "not at all")),
        "threshold": threshold,
        "dashboard": f"[{uid}](../dashboards.md#{uid})",
        "rule": f"[{origin.rsplit('/', 1)[1]}](../../{origin})",
    }
    return f"# {name}\n\n| {' | '.join(cells)} |\n|{'---|' * len(cells)}\n| {' | '.join(cells.values())} |\n\n"


def write() -> list[str]:
    """Bring the opening of every runbook up to date; an alert without one gets a page of empty sections."""
    changed = []
    for name, header in headers().items():
        path = ROOT / RUNBOOKS / f"{name}.md"
        old = path.read_text() if path.exists() else ""
        body = old[old.index(_FIRST_SECTION) :] if old else "\n\n".join(f"## {title}" for title in SECTIONS) + "\n"
        if header + body != old:
            path.write_text(header + body)
            changed.append(path.name)
    return changed
