"""Configuration reload on Kubernetes: the scripts beside real tools that ask for a password."""

import socket
import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from infra import documents
from tests.alerting.pod import CREDENTIALS, PASSWORD, ConfigMap, Pod, holding, leaks, processes, prometheus_yml, rules
from tests.alerting.scene import Scene, wait_for
from tests.conftest import Figure
from tests.running import PATIENCE
from tests.unit.loopback import LOOPBACK

# From a change of the files to the tool that runs on it, in seconds: a tick, a second to settle, the check.
PROMISED = 15.0 * PATIENCE
# Seconds for which files have to be as they are before they are taken.
SETTLES = 1.0
SUCCESSFUL, TAKEN = "config_reloader_last_apply_successful", "config_reloader_applies_totaltaken"
REFUSED, FAILED = "config_reloader_applies_totalrefused", "config_reloader_applies_totalfailed"


@dataclass(frozen=True)
class HalfAnUpdate:
    """What was seen while two files changed in turn, and after; `longest` is the most seconds between two changes."""

    longest: float
    taken: set[Path]
    to_whole: float
    changes_taken: float


@dataclass(frozen=True)
class Reloaded:
    """What was seen of Prometheus; times in seconds, pages by name of metric and `result`."""

    first: subprocess.CompletedProcess[str]
    to_change: float
    restarted_by_change: bool
    widest_gap: float
    to_refuse: float
    scraped_when_broken: float | None
    value_when_broken: float | None
    value_after_restart: float | None
    to_heal: float
    healed: dict[str, float]
    healed_ago: float
    half: HalfAnUpdate
    wrong_password: subprocess.CompletedProcess[str]
    to_end: float
    revisions: int
    log: str


def _half_an_update(pod: Pod, config: ConfigMap, rule_files: ConfigMap, first: int) -> HalfAnUpdate:
    """For longer than a tick, so that one falls into it; each half would pass the checker."""
    taken_before, before = pod.own_page()[TAKEN], (pod.target / "current").readlink()
    current, moments = set(), []
    for number in range(first, first + 15):
        (config if number % 2 else rule_files).write(prometheus_yml(pod, number) if number % 2 else rules(number))
        moments.append(time.monotonic())
        time.sleep(0.4)
        current.add((pod.target / "current").readlink())
    to_whole = wait_for(lambda: pod.own_page()[TAKEN] > taken_before, 30)
    longest = max(later - earlier for earlier, later in pairwise(moments))
    return HalfAnUpdate(longest, current - {before}, to_whole, pod.own_page()[TAKEN] - taken_before)


def prometheus_through_a_day(folder: Path) -> Reloaded:
    """A first start, a good change, a broken one, a restart meanwhile, its mending, a torn update."""
    with Pod(folder, "prometheus") as pod:
        etc = pod.source / "etc/prometheus"
        rule_files = ConfigMap(etc / "rules", rules(1))
        config = ConfigMap(etc, prometheus_yml(pod, 1))
        first = pod.once()
        pod.start()
        pod.watch()
        wait_for(lambda: pod.own_page().get(SUCCESSFUL) == 1 and pod.number("changing") == 1, 15)

        rule_files.write(rules(2))
        to_change = wait_for(lambda: pod.number("changing") == 2, 30)
        wait_for(lambda: pod.own_page()[TAKEN] == 1, 10)
        restarted = pod.processes["tool"].poll() is not None

        rule_files.write(rules(3, "vector({}"))
        to_refuse = wait_for(lambda: pod.own_page()[REFUSED] == 1, 30)
        wait_for(lambda: pod.number(SUCCESSFUL) == 0, 5)
        scraped, broken_value = pod.number(SUCCESSFUL), pod.number("changing")
        samples = [float(moment) for moment, _ in pod.query("steady[10m]")[0]["values"]]
        pod.end("tool")
        pod.start()
        restarted_at = time.time()
        wait_for(lambda: pod.number(f"timestamp(changing) > {restarted_at}") is not None, 10)
        value_after_restart = pod.number(f"changing and timestamp(changing) > {restarted_at}")

        rule_files.write(rules(4))
        to_heal = wait_for(lambda: pod.number("changing") == 4, 30)
        wait_for(lambda: pod.own_page()[SUCCESSFUL] == 1, 10)
        healed = pod.own_page()
        healed_ago = time.time() - healed["config_reloader_last_apply_timestamp_seconds"]

        for attempt in range(5):
            half = _half_an_update(pod, config, rule_files, 5 + 20 * attempt)
            # Where the machine stood still between two writes, what was there by then is an update of its own.
            if half.longest < SETTLES:
                break
            time.sleep(PROMISED)
        wrong = folder / "wrong"
        wrong.write_text("bm9ib2R5Om5vdGhpbmc=")
        wrong_password = pod.ask("GET", "/metrics", AUTHORIZATION_FILE=str(wrong))
        revisions = len(list((pod.target / ".revisions").iterdir()))
        return Reloaded(
            first=first,
            to_change=to_change,
            restarted_by_change=restarted,
            widest_gap=max(later - earlier for earlier, later in pairwise(samples)),
            to_refuse=to_refuse,
            scraped_when_broken=scraped,
            value_when_broken=broken_value,
            value_after_restart=value_after_restart,
            to_heal=to_heal,
            healed=healed,
            healed_ago=healed_ago,
            half=half,
            wrong_password=wrong_password,
            to_end=pod.end("watch"),
            revisions=revisions,
            log=pod.log("watch"),
        )


def alertmanager_yml(receiver: str, defined: str = "nobody") -> dict[str, str]:
    config = {"route": {"receiver": receiver}, "receivers": [{"name": defined}]}
    return {"alertmanager.yml": documents.dump(config)}


@dataclass(frozen=True)
class RolledBack:
    """What was seen of an Alertmanager whose checker accepts everything."""

    never_started: subprocess.CompletedProcess[str]
    kept_by_once: subprocess.CompletedProcess[str]
    to_refuse: float
    back: bool
    gauge: str
    page: dict[str, float]
    while_down: dict[str, float]
    up_again: dict[str, float]
    log: str


def alertmanager_refuses_what_its_checker_accepts(folder: Path) -> RolledBack:
    with Pod(folder, "alertmanager") as pod:
        config = ConfigMap(pod.source / "etc/alertmanager", alertmanager_yml("nobody", "somebody"))
        never_started = pod.once()
        config.write(alertmanager_yml("nobody"))
        assert pod.once().returncode == 0
        good = (pod.target / "current").readlink()
        config.write(alertmanager_yml("nobody", "somebody"))
        kept_by_once = pod.once()
        config.write(alertmanager_yml("nobody"))
        pod.start()
        pod.watch(CHECK="true")
        wait_for(lambda: pod.own_page().get(SUCCESSFUL) == 1, 15)
        config.write(alertmanager_yml("nobody", "somebody"))
        to_refuse = wait_for(lambda: pod.own_page()[REFUSED] == 1, 30)
        back = (pod.target / "current").readlink() == good
        # Once more on the old configuration, at the tick after.
        wait_for(lambda: "again" in pod.log("watch"), 10)
        gauge = pod.ask("GET", "/metrics").stdout
        pod.end("tool")
        pod.start()
        page = pod.own_page()
        pod.end("tool")
        config.write(alertmanager_yml("somebody", "somebody"))
        wait_for(lambda: pod.own_page()[FAILED] == 1, 15)
        while_down = pod.own_page()
        pod.start()
        wait_for(lambda: pod.own_page()[TAKEN] == 1, 15)
        pages = (page, while_down, pod.own_page())
        return RolledBack(never_started, kept_by_once, to_refuse, back, gauge, *pages, pod.log("watch"))


PROMETHEUS = Scene(prometheus_through_a_day)
ALERTMANAGER = Scene(alertmanager_refuses_what_its_checker_accepts)


def test_the_first_start_is_checked_and_says_its_revision() -> None:
    first = PROMETHEUS.result().first
    assert first.returncode == 0, first.stdout + first.stderr
    assert "prometheus: starts on revision" in first.stdout


def test_a_change_is_taken_without_restart_and_without_a_gap(figure: Figure) -> None:
    seen = PROMETHEUS.result()
    figure(f"taken {seen.to_change:.1f} s after the change; widest gap of samples {seen.widest_gap:.1f} s")
    assert seen.to_change < PROMISED
    assert not seen.restarted_by_change
    assert seen.widest_gap < 2.0 * PATIENCE


def test_a_broken_change_is_refused_and_the_old_rules_go_on(figure: Figure) -> None:
    seen = PROMETHEUS.result()
    figure(f"refused {seen.to_refuse:.1f} s after the change")
    assert seen.to_refuse < PROMISED
    assert seen.scraped_when_broken == 0, "Prometheus scrapes the script's page"
    assert seen.value_when_broken == 2
    refusals = [line for line in seen.log.splitlines() if " refused: " in line]
    assert len(refusals) == 1
    assert "etc/prometheus/rules/changing.yml" in refusals[0]
    assert "parse error" in refusals[0]


def test_a_restart_while_the_source_is_broken_comes_up_on_the_old_configuration() -> None:
    assert PROMETHEUS.result().value_after_restart == 2


def test_a_mended_change_is_taken() -> None:
    seen = PROMETHEUS.result()
    assert seen.to_heal < PROMISED
    assert (seen.healed[SUCCESSFUL], seen.healed[TAKEN], seen.healed[REFUSED]) == (1, 2, 1)
    assert seen.healed_ago < PROMISED


def test_half_an_update_is_not_taken() -> None:
    seen = PROMETHEUS.result()
    assert seen.half.taken == set()
    assert seen.half.to_whole < PROMISED
    assert seen.half.changes_taken == 1


def test_two_revisions_are_kept() -> None:
    assert PROMETHEUS.result().revisions == 2


def test_the_password_is_in_no_argument_and_no_environment(tmp_path: Path) -> None:
    with Pod(tmp_path, "prometheus") as pod, holding(pod) as seen:
        ConfigMap(pod.source / "etc/prometheus", rules(1))
        pod.watch(CHECK="true")
        wait_for(lambda: pod.own_page().get(TAKEN) == 1, 60)
    assert {each.request for each in seen} == {"GET /-/ready", "GET /metrics", "POST /-/reload"}
    assert all(each.authorized and each.in_sight for each in seen)
    assert [leak for each in seen for leak in each.leaks] == []


def test_a_password_among_the_arguments_or_in_the_environment_would_be_found() -> None:
    with subprocess.Popen(["sleep", "60"], env={"SECRET": PASSWORD}) as sleeper:
        found = leaks(processes())
        sleeper.kill()
    assert found == [f"SECRET={PASSWORD}\0"]


def test_nothing_that_is_said_holds_the_password() -> None:
    for log in (PROMETHEUS.result().log, ALERTMANAGER.result().log):
        assert PASSWORD not in log
        assert CREDENTIALS not in log


def test_a_wrong_password_is_said_by_status() -> None:
    wrong = PROMETHEUS.result().wrong_password
    assert (wrong.returncode, wrong.stderr) == (1, "HTTP/1.0 401 Unauthorized\n")


def test_a_tool_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    pod = Pod(tmp_path, "prometheus")
    with socket.create_server((LOOPBACK, pod.port)):
        begun = time.monotonic()
        silent = pod.ask("GET", "/-/ready", ANSWER_SECONDS="1")
        # Not the four that it is given without a word.
        assert time.monotonic() - begun < 4
    absent = pod.ask("GET", "/-/ready")
    for answer in (silent, absent):
        assert (answer.returncode, answer.stdout) == (1, "")
        assert f"nothing answered GET /-/ready on 127.0.0.1:{pod.port}" in answer.stderr


def test_the_script_ends_quickly() -> None:
    # Not at the end of the pause between two looks, which is five seconds.
    assert PROMETHEUS.result().to_end < 4


def test_a_first_start_on_a_broken_configuration_fails_in_the_checkers_words() -> None:
    never_started = ALERTMANAGER.result().never_started
    assert never_started.returncode == 1
    assert 'undefined receiver "nobody"' in never_started.stdout


def test_a_later_start_on_a_broken_configuration_falls_back() -> None:
    kept = ALERTMANAGER.result().kept_by_once
    assert kept.returncode == 0
    assert 'undefined receiver "nobody"' in kept.stdout
    assert "starts on the earlier revision" in kept.stdout


def test_what_the_tool_refuses_is_rolled_back(figure: Figure) -> None:
    seen = ALERTMANAGER.result()
    figure(f"refused and rolled back {seen.to_refuse:.1f} s after the change")
    assert seen.to_refuse < PROMISED
    assert seen.back
    assert "alertmanager_config_last_reload_successful 1" in seen.gauge, "it was given the old one again"
    assert (seen.page[SUCCESSFUL], seen.page[REFUSED], seen.page[TAKEN]) == (0, 1, 0)
    assert 'undefined receiver "nobody"' in seen.log


def test_a_change_while_the_tool_is_down_is_taken_when_it_is_up() -> None:
    seen = ALERTMANAGER.result()
    assert (seen.while_down[SUCCESSFUL], seen.while_down[FAILED], seen.while_down[TAKEN]) == (0, 1, 0)
    assert (seen.up_again[SUCCESSFUL], seen.up_again[FAILED], seen.up_again[TAKEN]) == (1, 1, 1)
