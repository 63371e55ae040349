"""A simulated day of normal traffic pages nobody, and faults at its end are paged."""

import pytest

from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import load
from operate.quiet_week import FAULTS, quiet_week, services, targets
from operate.quiet_week.every import EVERY
from operate.quiet_week.week import FAULTS_AFTER, Week
from operate.replay import Rule
from tests.conftest import Figure

# Until 15:00 there are a night, a backup, an hour without traffic, every service deployed, lost scrapes, slow probes, a
# chance burst of errors. `make quiet-week` has the other days and the weekend.
HOURS = FAULTS_AFTER + 1


def test_a_quiet_day_pages_nobody_and_faults_are_paged(figure: Figure) -> None:
    """Without the faults a quiet day could as well mean that no rule reads what is generated."""
    whole = quiet_week(load("dev"), HOURS, faults=FAULTS)
    whole.print()
    quiet = whole.until(FAULTS_AFTER)
    figure(f"quiet day: {quiet.verdict()}, {whole.samples} samples of {whole.series} series")
    figure(f"and {len(FAULTS)} faults after it: {whole.verdict()}")
    assert quiet.quiet, "see the episodes above"
    assert {episode.alert for episode in whole.of("critical")} == {fault.alert for fault in FAULTS.values()}


def test_a_metric_of_unknown_behaviour_is_an_error() -> None:
    deployed = targets.deployment(load("dev"))
    rule = Rule("Strange", "rate(tea_cups_total[5m]) > 0", {}, 15, alerting=True)
    odd = targets.Deployment(deployed.targets, deployed.interval, (*deployed.rules, rule), deployed.facts)
    with pytest.raises(InputError, match="does not know how tea_cups_total behaves"):
        targets.needed(odd)


def test_every_metric_of_the_contract_has_a_behaviour() -> None:
    catalog = load("dev").catalog
    for service in catalog.services:
        for name, metric in catalog.metrics_of(service).items():
            names = {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if metric.type == "histogram" else {name}
            assert names <= set(services.table(catalog, service)), (service.name, name)


def test_exporters_show_only_what_they_were_recorded_to_show() -> None:
    """Names and labels of the tables, against what `make record-metrics` read from the running exporters."""
    deployed = targets.deployment(load("dev"))
    week = Week(tuple(deployed.facts.catalog.by_name), hours=1, step=60)
    for target in deployed.targets:
        recorded = ROOT / f"tests/metrics/{target['job']}.txt"
        if target["job"] in deployed.facts.catalog.by_name:
            continue
        lines = [line.split() for line in recorded.read_text().splitlines() if not line.startswith("#")]
        known = {name: set(labels.split(",")) for name, _, labels in lines}
        for metric in set(targets.table(deployed.facts, target["job"])) - set(EVERY):
            assert metric in known, f"{target['job']}: {metric}"
            for labels, _ in targets.series(week, deployed.facts, targets.Family(metric, target)):
                own = set(labels) - set(target) - {"__name__"}
                assert own <= known[metric], f"{target['job']}: {metric}"
