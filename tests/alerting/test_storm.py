"""When much is down at once, each team is woken once and one page names what they share; the inbox counts.

With the stack's own timings, so a storm takes five minutes. `STORM=full` runs all of them, else one.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.alerting.exchange import HOST, HOST_EXPORTER, STORE, TEAMS, Exchange, State
from tests.alerting.platform import Platform
from tests.alerting.storm import Storm, platform, storm
from tests.conftest import Figure

Watched = tuple[Platform, Exchange]
full = pytest.mark.skipif(os.environ.get("STORM") != "full", reason="takes long: STORM=full runs every storm")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with platform(tmp_path_factory.mktemp("storm")) as running:
        yield running


def holds(found: Storm, name: str, figure: Figure) -> None:
    """What is true of every storm: see the messages."""
    figure(found.describe(name))
    assert not found.later_pages, "a recovery must wake nobody"
    assert found.repeated == 0, "a page must not be sent again"
    assert found.resolved == Counter(page.key for page in found.pages), "one resolved message for each page"
    for status in ("firing", "resolved"):
        in_slack = Counter({alert: count for (s, alert), count in found.slack.items() if s == status})
        assert in_slack == found.alerts, f"Slack's {status} messages must be those of the pages"


def at_most_one_each(found: Storm, cause: str) -> None:
    """One page names the cause, and no team has more than one besides."""
    assert found.alerts[cause] == 1
    others = Counter(page.team for page in found.pages if page.alert != cause)
    assert max(others.values(), default=0) <= 1, others


@pytest.mark.parametrize("state", ["refused", pytest.param("silent", marks=full)])
def test_200_services_down_at_once(watched: Watched, state: State, figure: Figure) -> None:
    running, services = watched
    names = list(running.stack.catalog.by_name)
    found = storm(running, lambda: services.set(names, state), lambda: services.set(names, "up"))
    holds(found, f"{len(names)} services {state}", figure)
    at_most_one_each(found, "SharedOutage")
    assert found.alerts == {"SharedOutage": 1, "MultipleServicesDown": len(TEAMS)}
    (shared,) = found.of("SharedOutage")
    assert shared.team == "platform"
    assert "200 services of 7 teams are down at once" in shared.summary
    assert {page.team for page in found.of("MultipleServicesDown")} == set(TEAMS)


@full
def test_the_network_takes_everything(watched: Watched, figure: Figure) -> None:
    """Exporters too: each data store and host looks dead, and none of them is the cause."""
    running, services = watched
    found = storm(running, lambda: services.set_all("silent"), lambda: services.set_all("up"))
    holds(found, "everything, exporters as well,", figure)
    at_most_one_each(found, "SharedOutage")
    assert found.alerts == {"SharedOutage": 1, "MultipleServicesDown": len(TEAMS)}


@full
def test_a_host_takes_60_services_along(watched: Watched, figure: Figure) -> None:
    """Three teams lose many services, three only one or two, which must not page beside their cause."""
    running, services = watched
    names = [s.name for s in running.stack.catalog.services if HOST in s.dependencies]
    lost = [*names, HOST_EXPORTER]
    found = storm(running, lambda: services.set(lost, "silent"), lambda: services.set(lost, "up"))
    holds(found, f"{HOST} and {len(names)} services on it", figure)
    at_most_one_each(found, "DependencyDown")
    assert found.alerts == {"DependencyDown": 1, "MultipleServicesDown": 3}
    (cause,) = found.of("DependencyDown")
    assert cause.service == HOST
    assert f"{len(names)} services depend on it, among them {', '.join(sorted(names)[:8])}." in cause.summary


@full
def test_a_database_takes_60_services_along(watched: Watched, figure: Figure) -> None:
    """The others that use it live on, degraded."""
    running, services = watched
    using = [s for s in running.stack.catalog.services if STORE in s.dependencies]
    names = [s.name for s in using if s.team in ("platform", "trading")]
    names += [next(s.name for s in using if s.team == team) for team in ("finance", "security", "compliance")]
    names += [s.name for s in using if s.team == "database"]

    def fault() -> None:
        services.lose(STORE)
        services.set(names, "refused")

    def recovery() -> None:
        services.find(STORE)
        services.set(names, "up")

    found = storm(running, fault, recovery)
    holds(found, f"{STORE} and {len(names)} services", figure)
    at_most_one_each(found, "DependencyDown")
    assert found.alerts == {"DependencyDown": 1, "MultipleServicesDown": 2}
    (cause,) = found.of("DependencyDown")
    assert (cause.service, cause.team) == (STORE, "database")
    first = sorted(service.name for service in using)[:8]
    assert f"{len(using)} services depend on it, among them {', '.join(first)}." in cause.summary


@full
def test_one_service_alone_is_one_page(watched: Watched, figure: Figure) -> None:
    running, services = watched
    found = storm(running, lambda: services.set(["finance-03"], "refused"), lambda: services.set(["finance-03"], "up"))
    holds(found, "one service", figure)
    assert [(page.alert, page.service, page.team) for page in found.pages] == [("ServiceDown", "finance-03", "finance")]
    # A scrape, `for`, an evaluation and group_wait: it does not wait for others.
    assert found.pages[0].seconds < 45
