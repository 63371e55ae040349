"""The scenes of inhibition: the same alerts beside their causes and without them."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import documents
from infra.stack import Stack
from tests.alerting.alerts import Inhibitions, every_alert, made_up
from tests.alerting.platform import Alert, Platform, stack_of
from tests.alerting.scene import Scene, wait_for

INTEGRITY = "configs/prometheus/rules/exchange-integrity.yml"
Given = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Outage:
    """Alerts by name, with what differs from the labels of their case in tests/rules/cases.

    Services called no-... are in no catalog, so that no outage reaches into another.
    """

    name: str
    causes: list[Given]
    silenced: list[Given]
    heard: list[Given]


def _of(service: str, *names: str, **more: str) -> list[Given]:
    return [(name, {"service": service, "team": "platform", **more}) for name in names]


OUTAGES = [
    Outage(
        "a critical alert silences its own warning",
        _of("no-1", "HighErrorRate"),
        _of("no-1", "HighErrorRateWarning"),
        [*_of("no-2", "HighErrorRateWarning"), *_of("no-1", "APILatencyWarning")],
    ),
    Outage(
        "and that of the same queue alone",
        _of("no-broker", "RabbitMQQueueBacklogCritical", queue="first"),
        _of("no-broker", "RabbitMQQueueBacklogWarning", queue="first"),
        _of("no-broker", "RabbitMQQueueBacklogWarning", queue="second"),
    ),
    Outage(
        "a dead service has errors, is slow and burns its budget",
        _of("no-3", "ServiceDown"),
        _of("no-3", "HighErrorRate", "APILatencyCritical", "ErrorBudgetBurnFast", "HighWithdrawalFailureRate"),
        [*_of("no-4", "HighErrorRate"), *_of("no-3", "LedgerDifference", "HotWalletLow")],
    ),
    Outage(
        "the matching engine's page replaces the service's",
        _of("no-5", "MatchingEngineDown"),
        _of("no-5", "ServiceDown", "MatchingEngineLatencyHigh"),
        _of("no-6", "ServiceDown"),
    ),
    Outage(
        "errors burn the budget",
        _of("no-7", "HighErrorRate"),
        _of("no-7", "ErrorBudgetBurnFast", "ErrorBudgetBurnSlow"),
        _of("no-8", "ErrorBudgetBurnFast"),
    ),
    Outage(
        "a dead database silences the symptoms of those that need it",
        [("DependencyDown", {})],
        [
            *_of("wallet-service", "HighErrorRate", "ErrorBudgetBurn"),
            *_of("auth-service", "ServiceDown"),
            ("LowCacheHitRate", {}),
        ],
        [
            *_of("api-gateway", "HighErrorRate"),
            *_of("wallet-service", "LedgerDifference", "DepositCreditedTwice"),
            ("SuspiciousLoginAttempts", {}),
            ("DatabaseReplicationLagCritical", {}),
        ],
    ),
    Outage(
        "three services of a team are one page to that team",
        [("MultipleServicesDown", {"team": "compliance"})],
        _of("no-9", "ServiceDown", "HighErrorRateWarning", team="compliance"),
        [
            *_of("no-10", "ServiceDown", team="finance"),
            *_of("no-9", "LedgerDifference", "KYCBacklog", team="compliance"),
        ],
    ),
    Outage(
        "a service under maintenance is quiet, but for money and intruders",
        _of("no-11", "ServiceUnderMaintenance"),
        _of("no-11", "ServiceDown", "HighErrorRateWarning", "PendingWithdrawalsBacklog"),
        [*_of("no-12", "ServiceDown"), *_of("no-11", "LedgerDifference", "HotWalletLow", "SuspiciousLoginAttempts")],
    ),
    Outage(
        "and so are the symptoms of those that depend on it",
        _of("rabbitmq", "ServiceUnderMaintenance"),
        _of("market-data-service", "HighErrorRate", "APILatencyWarning"),
        [*_of("market-data-service", "MatchingSequenceGap"), *_of("bitcoin-node", "HighErrorRate")],
    ),
]


@dataclass(frozen=True)
class Heard:
    """Which alerts' summaries reached anybody: beside their causes, and without them."""

    beside: set[str]
    alone: set[str]


def summary(outage: Outage, given: Given) -> str:
    """What an alert says here, to be known by."""
    name, labels = given
    return f"{outage.name} - {name} {labels}".replace("'", "").replace("{", "(").replace("}", ")")


def outages_with_and_without_their_causes(folder: Path) -> Heard:
    """All outages at once, on one Alertmanager with the causes and on one without."""
    stack = stack_of()
    known = {alert.labels["alertname"]: alert for alert in every_alert(stack)}

    def alert(outage: Outage, given: Given) -> Alert:
        name, labels = given
        kind = known[name]
        return Alert({**kind.labels, **labels}, {**kind.annotations, "summary": summary(outage, given)}, kind.expr)

    targets = [alert(outage, given) for outage in OUTAGES for given in (*outage.silenced, *outage.heard)]
    causes = [alert(outage, given) for outage in OUTAGES for given in outage.causes]
    with ExitStack() as running:
        beside = running.enter_context(Platform(folder / "beside"))
        # Some of them are causes of others as well.
        batches = Inhibitions(stack).apart(targets)
        alone = running.enter_context(Platform(folder / "alone"))
        alone.fire(batches[0])
        for number, batch in enumerate(batches[1:]):
            another = Platform(folder / f"alone-{number}", inbox=alone.inbox)
            running.enter_context(another).fire(batch)
        beside.fire(causes)
        beside.fire(targets)
        texts = [alert.annotations["summary"] for alert in targets]
        wait_for(lambda: _said(alone, texts) == set(texts), 45)
        # Both began together; what is late beside its cause comes within the next look at the groups.
        wait_for(lambda: False, 5)
        return Heard(_said(beside, texts), _said(alone, texts))


def _said(platform: Platform, texts: list[str]) -> set[str]:
    everything = "\n".join(message["text"] for message in platform.inbox.kept())
    return {text for text in texts if text in everything}


def never_silent(stack: Stack) -> list[Alert]:
    """Alerts about money, order and intruders: integrity's, and those of the category security."""
    document = documents.load((stack.root / INTEGRITY).read_text())
    integrity = {rule.get("alert") for group in document["groups"] for rule in group["rules"]}
    alerts = [
        alert
        for alert in every_alert(stack)
        if (alert.labels["alertname"] in integrity or alert.labels.get("category") == "security")
        and alert.labels["severity"] in ("critical", "warning")
    ]
    inhibitions = Inhibitions(stack)
    # Its own critical alert says it for a warning.
    return [a for a in alerts if not any(inhibitions.silences(other.labels, a.labels) for other in alerts)]


@dataclass(frozen=True)
class Ruin:
    """Which alerts were heard while everything was down."""

    wanted: set[str]
    heard: set[str]


def everything_down_and_money_missing(folder: Path) -> Ruin:
    """All services, all dependencies, all teams down, and all that must be heard nevertheless."""
    with Platform(folder) as platform:
        catalog = platform.stack.catalog
        causes = [
            made_up(name, "critical", service=service.name, team=service.team, tier=service.tier, symptom="yes")
            for service in catalog.services
            for name in ("ServiceDown", "MatchingEngineDown")
        ]
        causes += [
            made_up("DependencyDown", "critical", service=name, team=store.team, kind=store.kind)
            for name, store in catalog.dependencies.items()
        ]
        causes += [made_up("MultipleServicesDown", "critical", team=team) for team in catalog.teams]
        targets = never_silent(platform.stack)
        platform.fire(causes)
        platform.fire(targets)
        wanted = {alert.labels["alertname"] for alert in targets}

        def heard() -> set[str]:
            return {name for message in platform.inbox.kept() for name in _names(message) if name in wanted}

        wait_for(lambda: heard() == wanted, 45)
        return Ruin(wanted, heard())


def _names(message: dict[str, Any]) -> set[str]:
    return {alert["alertname"] for alert in message["alerts"]}


INHIBITED = Scene(outages_with_and_without_their_causes)
RUINED = Scene(everything_down_and_money_missing)
