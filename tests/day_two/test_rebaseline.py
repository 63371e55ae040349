"""Thresholds against history: known answers are found, real incidents are kept, limits are left alone."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra import assembly, rules, settings
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack, load
from operate import __main__ as command
from operate import pages, tools
from operate.quiet_week.tsdb import Tsdb, serve
from operate.rebaseline import cases, change, firings, known, source
from operate.rebaseline.cases import Case, Levels
from operate.rebaseline.check import check
from operate.rebaseline.distribution import daily, describe, once_a_year
from operate.rebaseline.firings import LATER, Firings, Observed, Span, overlap
from operate.rebaseline.proposal import Judge
from operate.rebaseline.separate import INSEPARABLE, Comparison, separate
from operate.rebaseline.source import Series
from operate.rebaseline.verdict import KEPT, LIMIT, LOOSER, Count, Verdict, in_order, rounded
from operate.replay import Episode
from tests.conftest import Figure

T = 'alert:threshold{alert="A"}'
DAY = 86400.0


def test_known_answers(figure: Figure) -> None:
    """A month: distributions in closed form, noise and incidents that were planted, thresholds that do not fit."""
    found = check(30, scrape=60, whole=["APILatencyWarning"])
    assert found.print(), "see the table above"
    quantiles = [row for row in found.rows if row.what.endswith("quantile")]
    counts = [row for row in found.rows if "firing" in row.what]
    worst = max(quantiles, key=lambda row: row.error)
    figure(
        f"rebaseline, 30 days with known answers: quantiles off by {worst.error:.1%} at most ({worst.what}), "
        f"firings and their minutes by {max(row.error for row in counts):.1%}"
    )


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_what_cannot_be_separated_is_listed_with_its_reason(stack: str) -> None:
    """A new rule whose threshold cannot be taken out needs its entry in INSEPARABLE; one that can, none."""
    found = cases.read(load(stack))
    assert {case.alert for case in found if case.separated.parts is None} == set(INSEPARABLE)
    assert all(case.separated.comparisons for case in found)


@pytest.mark.parametrize(
    ("expr", "parts"),
    [
        (f"x > on (service) group_left () {T}", [("x{}", "x{} >")]),
        (f"x <= on (service) ({T})", [("x{}", "x{} <=")]),
        (f"min by (a) (x) < on (service) group_left () (-{T})", [("-(min by (a)(x{}))", "-(min by (a)(x{})) >")]),
        (f"x > {T} and on (job) (y > 1) unless z", [("((x{}) and on (job) ((y{} > 1))) unless  (z{})", "x{} >")]),
        (f"x > {T} or y > 7 and z", [("x{}", "x{} >"), ("y{} > 7 and  z{}", None)]),
        (
            f"(\nx > {T}\nor\ny\n)\nunless on (service) (m)",
            [
                ("(x{}) unless on (service) ((m{}))", "x{} >"),
                ("(y{}) unless on (service) ((m{}))", None),
            ],
        ),
        (f"x > {T} or -x > {T}", [("x{}", "x{} >"), ("-x{}", "-x{} >")]),
    ],
)
def test_a_rule_is_taken_apart(expr: str, parts: list[tuple[str, str | None]]) -> None:
    found = separate(expr, "A").parts
    assert found is not None
    told = [(p.text, p.comparison and f"{p.comparison.subject} {p.comparison.operator}") for p in found]
    assert [(" ".join(text.split()), said) for text, said in told] == [(" ".join(t.split()), said) for t, said in parts]


@pytest.mark.parametrize(
    "expr",
    [
        f"x > {T} and y > {T}",
        f"x > {T} unless y >= {T}",
        f"x > bool {T}",
        f"x > 2 * {T}",
        f"{T} < x",
        f"x == {T}",
        f"count(x > {T}) > 3",
        f"x > {T} or on (service) y > 7",
        f'x{{a=~"b\\\\d"}} > {T}',
        f'x{{a="b\\\\\\\\n"}} > {T}',
    ],
)
def test_a_rule_that_cannot_be_taken_apart_is_not(expr: str) -> None:
    assert separate(expr, "A").parts is None


def test_limits() -> None:
    """What is about money and order is one by its category; every other says why."""
    found = {case.alert: case for case in cases.read(load("dev"))}
    for alert in (
        "LedgerDifference",
        "HotWalletBelowFloor",
        "HotWalletLow",
        "MatchingSequenceGap",
        "DepositCreditedTwice",
    ):
        assert found[alert].limit, alert
    for alert in ("DiskSpaceCritical", "DatabaseConnectionPoolWarning", "ErrorBudgetBurn", "CertificateExpiring"):
        assert found[alert].limit, alert
    for alert in ("HighErrorRate", "LargePendingDepositsBacklog", "DDoSDetected", "LowCacheHitRate"):
        assert found[alert].limit is None, alert


# ---- quantiles and the year


@hypothesis_settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.booleans())
def test_below_is_above_upside_down(values: list[float], above: bool) -> None:
    one, other = describe(np.array(values), above), describe(-np.array(values), not above)
    assert one is not None
    assert other is not None
    assert [one.median, one.q95, one.q999, one.worst] == pytest.approx(
        [-other.median, -other.q95, -other.q999, -other.worst]
    )
    assert (one.worst >= one.q999 >= one.q95) if above else (one.worst <= one.q999 <= one.q95)


def test_what_is_expected_once_a_year(figure: Figure) -> None:
    """On average over many months the estimate is the true level; of a single one it is off by a tenth, usually."""
    random = np.random.default_rng(3)
    true = known.gumbel_year()
    found = np.array(
        [once_a_year(random.gumbel(known.GUMBEL_MODE, known.GUMBEL_SCALE, 30), above=True) for _ in range(3000)]
    )
    mean, spread = found.mean() / true - 1, found.std() / true
    figure(f"rebaseline, once a year from 30 daily extremes: {mean:+.1%} on average, standard deviation {spread:.1%}")
    assert abs(mean) < 0.01
    assert 3 * spread < 0.3, "the bound in check.py is three standard deviations"
    assert once_a_year(-np.arange(30.0), above=False) == pytest.approx(-(once_a_year(np.arange(30.0), above=True) or 0))
    assert once_a_year(np.ones(40), above=True) is None
    assert once_a_year(np.arange(27.0), above=True) is None


def test_a_day_begun_is_no_day() -> None:
    times = np.arange(0, 3.2 * DAY, 600.0)
    values = np.where(times >= 3 * DAY, -5.0, times // DAY)
    assert daily(times, values, above=True).tolist() == [0, 1, 2]
    assert daily(times, values, above=False).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "up", "digits", "expected"),
    [
        (147.3, True, 2, 150),
        (0.3857, False, 2, 0.38),
        (-2.31, True, 2, -2.3),
        (1.5, True, 2, 1.5),
        (0.61, True, 1, 0.7),
    ],
)
def test_rounded_away_from_usual(value: float, up: bool, digits: int, expected: float) -> None:
    assert rounded(value, up, digits) == expected


# ---- the judgement, on series made here


def _case(alert: str = "HighWithdrawalFailureRate", **changes: Any) -> Case:
    found = next(case for case in cases.read(load("dev")) if case.alert == alert)
    return replace(found, **changes)


CASE = _case("LargePendingDepositsBacklog")
SPAN = Span(0.0, 28 * DAY, 300.0, 28 * DAY)


def _judge(series: Sequence[Series], case: Case = CASE, span: Span = SPAN, critical: Any = None) -> Judge:
    [comparison] = case.separated.comparisons
    coarse = [replace(s, times=s.times[::20], values=s.values[::20]) for s in series]
    seen = [Observed(comparison, coarse, series)]
    return Judge(
        case, seen, Firings(case, span, [(comparison, list(series))], []), span, critical or {}, frozenset({case.alert})
    )


def _series(
    spells: Sequence[tuple[float, float, float]], service: str = "wallet-service", usual: float = 5.0
) -> Series:
    """Usual values with spells of (day, minutes, level)."""
    times = np.arange(0, 28 * DAY + 1, 15.0)
    values = np.full(times.size, usual)
    for day, minutes, level in spells:
        values[(times >= day * DAY) & (times < day * DAY + minutes * 60)] = level
    return Series({"service": service, "asset": "ETH"}, times, values)


NOISE = [(1.0 + 2 * number, 15.0, 120.0) for number in range(12)]


def test_noise_is_silenced_and_what_is_real_is_kept() -> None:
    [verdict] = _judge([_series([*NOISE, (9.5, 90, 160)])]).verdicts()
    assert verdict.kind == LOOSER
    assert verdict.service == "wallet-service"
    assert 120 < (verdict.proposed or 0) < 160
    assert (verdict.now, verdict.then) == (Count(13, 12 * 5 + 80, 12), Count(1, 80, 0))


@pytest.mark.parametrize(
    ("spells", "critical", "why"),
    [
        (NOISE[:2], {}, "two are no noise"),
        ([*NOISE[:4]], {}, "one a week is bearable"),
        ([(d, 45, level) for d, _, level in NOISE], {}, "long ones are real"),
        ([(d, m, 400) for d, m, _ in NOISE], {}, "ones far from usual are real"),
        (
            NOISE,
            {"wallet-service": {"ServiceDown": [(d * DAY + 1500, d * DAY + 1700) for d, _, _ in NOISE]}},
            "followed",
        ),
    ],
)
def test_what_is_not_noise_changes_nothing(spells: Any, critical: Any, why: str) -> None:
    [verdict] = _judge([_series(spells)], critical=critical).verdicts()
    assert (verdict.kind, verdict.proposed) == (KEPT, None), why


def test_another_service_s_alert_proves_nothing() -> None:
    elsewhere = {"kyc-service": {"ServiceDown": [(0.0, 28 * DAY)]}, "wallet-service": {CASE.alert: [(0.0, 28 * DAY)]}}
    [verdict] = _judge([_series(NOISE)], critical=elsewhere).verdicts()
    assert verdict.kind == LOOSER


def test_where_no_threshold_helps_it_says_so() -> None:
    """A real incident that came no further than the noise."""
    [verdict] = _judge([_series([*NOISE, (9.5, 90, 115)])]).verdicts()
    assert verdict.proposed is None
    assert "no threshold tells them from real ones" in verdict.evidence


def test_an_incident_that_grows_is_told_at_most_five_minutes_later() -> None:
    """It starts at 119 and gains 0.45 each 15 s: beyond 128 it would be told of too late."""
    series = _series(NOISE)
    first = int(9.5 * DAY / 15)
    series.values[first : first + 360] = 119 + 0.45 * np.arange(360)
    [verdict] = _judge([series]).verdicts()
    assert verdict.kind == LOOSER
    assert 120 <= (verdict.proposed or 0) < 128
    assert verdict.then.times == 1


def test_a_ratio_stays_below_the_whole() -> None:
    case = replace(CASE, unit="ratio", levels=Levels(0.5, {}))
    [verdict] = _judge([_series([(day, 15, 0.9) for day, _, _ in NOISE], usual=0.01)], case).verdicts()
    assert 0.9 <= (verdict.proposed or 0) < 1


def test_services_differ() -> None:
    quiet, noisy = _series([], "kyc-service"), _series(NOISE)
    assert [(v.service, v.kind) for v in _judge([quiet, noisy]).verdicts()] == [("wallet-service", LOOSER)]
    both = [_series([(d + 0.3, m, 130) for d, m, _ in NOISE], "kyc-service"), noisy]
    [one] = _judge(both).verdicts()
    assert (one.service, one.then.times) == (rules.EVERY, 0)
    tuned = replace(CASE, levels=Levels(100, {"wallet-service": 110.0}))
    assert {v.service: v.today for v in _judge(both, tuned).verdicts()} == {"kyc-service": 100, "wallet-service": 110}


@pytest.mark.parametrize(
    ("changes", "span", "kind"),
    [
        ({"limit": "a contract"}, SPAN, LIMIT),
        ({"muted": frozenset({rules.EVERY})}, SPAN, KEPT),
        ({"muted": frozenset({"wallet-service"})}, SPAN, KEPT),
        ({}, replace(SPAN, known=6 * DAY), KEPT),
    ],
)
def test_nothing_is_proposed_for(changes: dict[str, Any], span: Span, kind: str) -> None:
    [verdict] = _judge([_series(NOISE)], replace(CASE, **changes), span).verdicts()
    assert (verdict.kind, verdict.proposed) == (kind, None)
    assert verdict.now.times == len(NOISE)


def _daily(random: np.random.Generator, level: float) -> Series:
    return _series([(day + 0.5, 5, level + random.gumbel(0, 1)) for day in range(28)])


def test_far_too_loose_is_tightened_half_way_and_never_for_a_page() -> None:
    random = np.random.default_rng(5)
    case = replace(CASE, levels=Levels(1000, {}))
    [verdict] = _judge([_daily(random, 12)], case).verdicts()
    assert verdict.kind == "tighter"
    assert 500 < (verdict.proposed or 0) <= 510
    idle = replace(_series([]), labels={"service": "wallet-service", "asset": "SOL"})
    assert _judge([_daily(random, 12), idle], case).verdicts()[0].kind == "tighter", "beside a series that never moves"
    near = replace(CASE, levels=Levels(60, {}))
    for kept in (replace(case, severity="critical"), replace(case, symptom=True), near):
        assert _judge([_daily(random, 12)], kept).verdicts()[0].proposed is None
    fired = _daily(random, 12)
    fired.values[1000:1100] = 2000.0
    assert _judge([fired], case).verdicts()[0].proposed is None
    assert _judge([_series([])], case).verdicts()[0].proposed is None, "what never moves teaches nothing"


SPELLS = st.lists(
    st.tuples(st.integers(0, 27), st.integers(1, 90), st.floats(101, 320)), max_size=25, unique_by=lambda s: s[0]
)


@hypothesis_settings(max_examples=40, deadline=None)
@given(SPELLS)
def test_no_proposal_loses_a_real_incident(spells: list[tuple[int, int, float]]) -> None:
    judge = _judge([_series([(day + 0.2, minutes, level) for day, minutes, level in spells])])
    today = judge.firings.at(CASE.levels)
    for verdict in judge.verdicts():
        if verdict.proposed is None:
            continue
        then = judge.firings.at(CASE.levels.with_(verdict.service, verdict.proposed))
        lost = [episode for episode in today if not any(_told(episode, other) for other in then)]
        assert verdict.then.noise < verdict.now.noise
        assert len(lost) <= verdict.now.noise - verdict.then.noise
        assert all(_short_and_near(episode, spells) for episode in lost)


def _told(episode: Episode, other: Episode) -> bool:
    return overlap(episode, other) and (other.start or 0) <= (episode.start or 0) + LATER


def _short_and_near(episode: Episode, spells: list[tuple[int, int, float]]) -> bool:
    [(_, minutes, level)] = [spell for spell in spells if spell[0] == episode.since // DAY]
    return minutes - 10 < 30 and level < 195


def test_a_warning_stays_before_its_critical_alert() -> None:
    found = {case.alert: case for case in cases.read(load("dev"))}
    mild, severe = found["RabbitMQQueueBacklogWarning"], found["RabbitMQQueueBacklogCritical"]
    assert severe.outranks(mild)
    assert not mild.outranks(severe)

    def verdict(value: float) -> dict[str, list[Verdict]]:
        none = Count(0, 0, 0)
        kept = [Verdict(rules.EVERY, KEPT, 10000, None, "", none, none)]
        return {
            **dict.fromkeys(found, kept),
            mild.alert: [Verdict("rabbitmq", LOOSER, 1000, value, "", none, none)],
        }

    assert in_order(verdict(9000), found)[mild.alert][0].proposed == 9000
    [dropped] = in_order(verdict(12000), found)[mild.alert]
    assert dropped.proposed is None
    assert "RabbitMQQueueBacklogCritical" in dropped.evidence


# ---- the settings


FILES = {
    "without": "config:\n  monitoring:environment: dev\n# after\nencryptionsalt: v1:x\n",
    "present": (
        "# head\nconfig:\n  monitoring:environment: dev\n  monitoring:alerts:\n    KYCBacklog:\n"
        '      kyc-service: {mute: "until Friday: provider"}\n    HighErrorRate: {"*": {threshold: 0.04}}\n\n'
        "  # sizes\n  monitoring:digestTime: '09:00'\n"
    ),
    "last": "config:\n  monitoring:inbox: true\n  monitoring:alerts: {KYCBacklog: {kyc-service: {threshold: 1}}}\n",
    "inline": "config:\n  monitoring:tlsProbes: [\n    'a.example:443',\n  ]\nencryptionsalt: v1:x\n",
    "empty": "config:\nencryptionsalt: v1:x\n",
    "none": "encryptionsalt: v1:x\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_block_takes_its_place_in_the_file(name: str) -> None:
    text = FILES[name]
    alerts: dict[str, dict[str, dict[str, Any]]] = {
        "HighErrorRate": {"kyc-service": {"threshold": 0.08}, rules.EVERY: {"mute": 'a "b": c'}}
    }
    none = Count(0, 0, 0)
    verdicts = {"HighErrorRate": [Verdict("kyc-service", LOOSER, 0.05, 0.08, "it: fired # often", none, none)]}
    after = change.applied(text, change.block(alerts, verdicts))
    wanted = yaml.safe_load(text)
    wanted["config"] = {**(wanted.get("config") or {}), "monitoring:alerts": alerts}
    assert yaml.safe_load(after) == wanted
    assert "# 0.05 before: it: fired # often" in after
    for line in ("# head", "  # sizes", "# after"):
        assert (line in after) == (line in text)


def _project(stack: Stack, folder: Path) -> Stack:
    """The stack with its own copy of its settings; everything else as it is."""
    for path in ROOT.iterdir():
        if path.name.startswith("Pulumi"):
            (folder / path.name).write_text(path.read_text())
        elif path.name in ("configs", "playbooks"):
            (folder / path.name).symlink_to(path)
    return replace(stack, root=folder)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_infra_accepts_the_proposal(name: str, tmp_path: Path) -> None:
    """Written into the file as the difference says, it is what the rules are deployed with."""
    stack = _project(load(name), tmp_path)
    none = Count(0, 0, 0)
    verdicts = {
        "HighErrorRate": [Verdict("kyc-service", LOOSER, 0.05, 0.08, "why", none, none)],
        "RabbitMQQueueBacklogWarning": [Verdict(rules.EVERY, "tighter", 1000, 510.0, "why", none, none)],
    }
    alerts = change.tuning(stack, verdicts)
    file = tmp_path / f"Pulumi.{name}.yaml"
    before = file.read_text()
    block = change.block(alerts, verdicts)
    assert change.difference(stack, block).count("\n+") == block.count("\n")
    assert file.read_text() == before
    file.write_text(change.applied(before, block))
    changed = replace(stack, settings=settings.load(name, tmp_path))
    texts = [
        rule["expr"]
        for document in rules.deployed(changed, assembly.workloads(changed)).values()
        for group in document["groups"]
        for rule in group["rules"]
        if rule.get("record") == "alert:threshold"
    ]
    assert any("vector(0.08)" in text for text in texts)
    assert "0 * alert:subject + 510.0" in texts
    assert change.checked(stack, alerts).settings == changed.settings


def test_what_infra_refuses_is_no_proposal() -> None:
    with pytest.raises(InputError, match="unknown service 'tea-service'"):
        change.checked(load("dev"), {"HighErrorRate": {"tea-service": {"threshold": 0.1}}})
    with pytest.raises(InputError, match="unknown alert 'Tea'"):
        change.checked(load("dev"), {"Tea": {"kyc-service": {"threshold": 0.1}}})


# ---- a real Prometheus


@dataclass(frozen=True)
class Served:
    """A Prometheus at `url`, over the blocks in `folder`, with history until a Unix time."""

    url: str
    folder: Path
    until: float


@contextmanager
def _served(folder: Path, days: float, away: float = 0.0) -> Iterator[Served]:
    """History of some days until now, of which Prometheus was away for `away` in the middle."""
    tsdb = Tsdb(folder, tools.ensure("prometheus"), tools.ensure("promtool"), 300.001, 15)
    until = time.time() // 60 * 60
    if days:
        times = np.arange(until - days * DAY, until, 60.0)
        up = {"__name__": "up", "job": "kyc-service", "service": "kyc-service"}
        level = {"__name__": "deposits_pending", "service": "wallet-service", "asset": "ETH"}
        noise = np.where((times - times[0]) % (DAY / 3) < 900, 120.0, 5 + times % 7)
        there = np.where(abs(times - times.mean()) < away * DAY / 2, np.nan, 1.0)
        tsdb.write(times, [(up, there), (level, noise)])
    else:
        (folder / "data").mkdir()
    with tsdb.serve() as url:
        yield Served(url, folder, until)


@pytest.fixture(scope="module")
def ten_days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Prometheus with ten days until now in which deposits wait three times a day for nothing."""
    with _served(tmp_path_factory.mktemp("ten-days"), 10) as served:
        yield served


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the verb; its exit status and what it printed."""
    monkeypatch.setattr(pages, "folder", lambda stack: tmp_path / stack)

    def run(*options: str) -> tuple[int, str, str]:
        status = command.main(["--stack", "dev", "rebaseline", *options])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_the_verb_writes_a_report_and_applies_nothing(said: Any, ten_days: Served, tmp_path: Path) -> None:
    before = (ROOT / "Pulumi.dev.yaml").read_text()
    status, out, _ = said("--prometheus", ten_days.url)
    assert status == 0
    assert (ROOT / "Pulumi.dev.yaml").read_text() == before
    assert "LargePendingDepositsBacklog of wallet-service: looser" in out
    assert "+      wallet-service: {threshold: 150}" in out
    proposal = yaml.safe_load((tmp_path / "dev/rebaseline.yaml").read_text())
    assert proposal["config"]["monitoring:alerts"]["LargePendingDepositsBacklog"]["wallet-service"]["threshold"] == 150
    figures = json.loads((tmp_path / "dev/rebaseline.json").read_text())
    deposits = next(each for each in figures["thresholds"] if each["alert"] == "LargePendingDepositsBacklog")
    assert deposits["today"]["count"] in (29, 30)
    assert deposits["proposed"]["count"] == 0
    assert len(figures["thresholds"]) == len(rules.thresholds(ROOT))
    page = (tmp_path / "dev/rebaseline.html").read_text()
    assert "wallet-service" in page
    assert "Nothing has been applied." in page


def test_a_question_too_large_is_asked_in_halves(ten_days: Served, tmp_path: Path) -> None:
    api = source.of(load("dev"), ten_days.url)
    now = ten_days.until
    whole = api.range("deposits_pending", now - 9 * DAY, now, 60.0)
    little = tmp_path / "prometheus"
    little.write_text(
        f'#!/bin/bash\nexec {tools.ensure("prometheus")} "${{@/max-samples=500000000/max-samples=5000}}"\n'
    )
    little.chmod(0o755)
    # The other Prometheus holds its folder.
    shutil.copytree(
        ten_days.folder / "data", tmp_path / "data", ignore=shutil.ignore_patterns("lock", "wal", "chunks_head")
    )
    with serve(tmp_path, little, 15) as url:
        small = source.of(load("dev"), url)
        refused = small.api.get(f"/api/v1/query_range?query=deposits_pending&start={now - 6 * DAY}&end={now}&step=60")
        assert "too many samples" in refused["error"]
        found = small.range("deposits_pending", now - 9 * DAY, now, 60.0)
    assert [series.labels for series in found] == [series.labels for series in whole]
    assert found[0].times.tolist() == whole[0].times.tolist()
    assert found[0].values.tolist() == whole[0].values.tolist()


def test_the_windows_are_those_of_the_whole_history(ten_days: Served) -> None:
    """Where only what was beyond is asked for, the firings are those of the whole history."""
    # Off the grid on which the history begins: a step does not begin with what it shows.
    api, end = source.of(load("dev"), ten_days.url), ten_days.until - 1980
    span = Span(end - 9 * DAY, end, 300.0, 9 * DAY)
    plain = Comparison("deposits_pending{}", ">")
    case = replace(CASE, separated=replace(separate(f"deposits_pending > {T}", "A")))
    observed = firings.observe(api, plain, span)
    assert observed.furthest is not None
    some = firings.ask(api, case, [observed], span, 100.0)
    everything = firings.ask(api, case, [replace(observed, furthest=None)], span, 100.0)
    assert some.at(Levels(100, {})) == everything.at(Levels(100, {}))
    assert len(some.at(Levels(100, {}))) >= 26


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--days", "abc"], "DAYS is 'abc'"),
        (["--days", "0"], "DAYS is '0'"),
        (["--prometheus", "localhost:9090"], "give an address"),
        (["--prometheus", "http://127.0.0.1:9"], "does not answer"),
        (["--check", "--days", "3"], "leave DAYS out"),
    ],
)
def test_bad_input_is_one_sentence(said: Any, options: list[str], words: str) -> None:
    status, out, err = said(*options)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("days", "away", "words"),
    [
        (0.0, 0.0, "has no history"),
        (0.5, 0.0, "hours of history; a rebaseline needs a day"),
        (6.0, 5.5, "hours of history; a rebaseline needs a day"),
    ],
)
def test_too_little_history_is_one_sentence(said: Any, tmp_path: Path, days: float, away: float, words: str) -> None:
    with _served(tmp_path, days, away) as served:
        status, out, err = said("--prometheus", served.url)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
