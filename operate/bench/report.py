"""What was measured over the sizes of the exchange, as the parts of docs/PERFORMANCE.md and as a page."""

from __future__ import annotations

from collections.abc import Sequence

from infra.workload import GIB, MIB
from operate.bench.figures import Curve, Group, Machine, Window
from operate.bench.past import HOURS
from operate.bench.scale import BARE, BESIDE, WARM, WATCHED
from operate.documents.performance import Part

_WHAT = (
    "A real Prometheus with the stack's own configuration scrapes a generated exchange each 15 s and evaluates the "
    "rules exactly as they are deployed. The exchange is that of the catalog with more services of HTTP alone, "
    "more instances and 20 routes for each, a host for ten instances, a container exporter for each host, and more "
    "data stores; metrics, labels and levels are those of the quiet week. All targets answer through one proxy, so "
    "there are fewer connections than targets."
)
_WHEN = f"Each size starts with empty data and is watched for {WATCHED:.0f} s after {WARM:.0f} s."
_WALL = "Times are on the clock and grow with what others keep of the processors, see the first table."


def parts(curve: Curve) -> dict[str, Part]:
    """Every part that the sizes give, by its name."""
    steps = curve.steps
    if not steps:
        return {}
    found = {
        "scale-resources": _resources(curve),
        "scale-rules": _rules(curve),
        "scale-groups": _groups(curve),
        "scale-costly": _costly(curve),
        "scale-scrapes": _scrapes(curve),
    }
    if any(step.beside for step in steps):
        found["scale-beside"] = _beside(curve)
    if any(step.restart for step in steps):
        found["scale-restart"] = _restart(curve)
    if any(step.pages for step in steps):
        found["scale-dashboards"] = _dashboards(curve)
    return found


Cells = Sequence[str | int | float | None]


def _part(
    curve: Curve, title: str, method: Sequence[str], columns: Sequence[str], rows: Sequence[Cells], *notes: str
) -> Part:
    return Part(
        title=title,
        method=tuple(method),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in rows),
        notes=notes,
        machine=where(curve.machine),
        day=curve.machine.day,
    )


def _resources(curve: Curve) -> Part:
    return _part(
        curve,
        "Memory and processor over series",
        (
            _WHAT,
            _WHEN,
            "Series are those of its head: scraped and recorded. Memory is the resident memory of its process after "
            "that time, and the most there was. Cores are processor time of its process from /proc, which other work "
            f"does not change; without rules is measured for {BARE:.0f} s after the rules were taken away. Measured by "
            "root, Prometheus and the exchange come before other programs.",
        ),
        (
            "series",
            "scraped",
            "services x instances",
            "targets",
            "samples a second",
            "resident MiB",
            "peak MiB",
            "peak KiB a series",
            "cores",
            "without rules",
            "cores of the exchange",
            "of all others",
        ),
        [
            (
                step.head,
                step.scraped,
                f"{step.services} x {step.instances}",
                step.targets,
                round(step.ruled.samples),
                round(step.resident / MIB),
                round(step.peak / MIB),
                round(step.peak / 1024 / step.head, 1),
                round(step.ruled.cores, 3),
                round(step.unruled.cores, 3) if step.unruled else None,
                round(step.ruled.exchange, 3),
                round(step.ruled.others, 2),
            )
            for step in curve.steps
        ],
        "Memory grows until the head has held two hours: plan with the peak of three hours in "
        "[K8S_DEPLOYMENT.md](K8S_DEPLOYMENT.md).",
        *([f"No larger size was measured: {curve.stopped}"] if curve.stopped else []),
    )


def _rules(curve: Curve) -> Part:
    within = [step.head for step in curve.steps if not step.beyond()]
    return _part(
        curve,
        "Evaluation of the rules over series",
        (
            "As above. The bound of a group is half of its interval; the group that comes nearest to it is named, with "
            "the slowest evaluation that was seen.",
            _WALL,
        ),
        ("series", "rules", "of them alerts", "busy", "nearest group", "slowest s", "interval s", "share", "missed"),
        [(step.head, *_evaluated(step.ruled)) for step in curve.steps],
        "Busy is how many groups are being evaluated on average: their seconds of evaluation in each second.",
        *(f"Beyond a bound at {one}." for step in curve.steps for one in step.beyond()),
        *([f"The largest that was measured within all bounds: {max(within):,} series."] if within else []),
    )


def _evaluated(window: Window) -> tuple[int, int, float, str, float, float, str, int]:
    worst = window.slowest
    return (
        window.rules,
        window.alerts,
        round(window.busy, 3),
        worst.name,
        round(worst.worst, 3),
        worst.interval,
        f"{worst.share:.1%}",
        window.missed,
    )


def _groups(curve: Curve) -> Part:
    first = curve.steps[-1].ruled.groups
    found = [{group.name: group for group in step.ruled.groups} for step in curve.steps]
    return _part(
        curve,
        "Evaluation time of each group",
        ("As above. Milliseconds on average, and of the slowest evaluation in brackets.", _WALL),
        ("group", "rules", "interval s", *(f"{step.head:,} series" for step in curve.steps)),
        [
            (group.name, group.rules, group.interval, *(_both(groups.get(group.name)) for groups in found))
            for group in sorted(first, key=lambda group: -group.share)
        ],
        "A group whose interval is longer than it was watched may have no time.",
    )


def _both(group: Group | None) -> str:
    return "" if group is None else f"{group.mean * 1e3:.1f} ({group.worst * 1e3:.1f})"


def _costly(curve: Curve) -> Part:
    last = curve.steps[-1]
    return _part(
        curve,
        "The rules that take longest",
        (f"At {last.head:,} series, the last evaluation of each rule as Prometheus' API tells it.", _WALL),
        ("group", "rule", "ms"),
        [(one.group, one.rule, round(one.seconds * 1e3, 1)) for one in last.ruled.costly],
    )


def _scrapes(curve: Curve) -> Part:
    return _part(
        curve,
        "Scrapes over series",
        (
            "As above. How long scrapes took, from Prometheus' own series; the interval that 99 % of scrapes kept, of "
            "15 s wanted; and how many failed or are missing.",
        ),
        ("series", "targets", "median ms", "slowest ms", "interval s", "failed or missing"),
        [
            (
                step.head,
                step.targets,
                round(step.scrapes.median * 1e3, 1),
                round(step.scrapes.worst * 1e3, 1),
                round(step.scrapes.interval, 3),
                step.scrapes.lost,
            )
            for step in curve.steps
        ],
    )


def _beside(curve: Curve) -> Part:
    rows: list[Cells] = []
    for step in curve.steps:
        for name, window in (("deployed", step.ruled), (curve.collection, step.beside)):
            if window is not None:
                rows.append((step.head, name, round(window.cores, 3), *_evaluated(window)))
    return _part(
        curve,
        "The same Prometheus under other rules",
        (
            f"The same process and targets with the rule files of {curve.collection} instead of the deployed ones, "
            f"watched for {BESIDE:.0f} s. Rules about what this exchange does not have find nothing and cost little.",
            _WALL,
            "With your own copy: `make bench ONLY=scale RULES_BESIDE=folder COLLECTION=name`.",
        ),
        (
            "series",
            "rules of",
            "cores",
            "rules",
            "of them alerts",
            "busy",
            "nearest group",
            "slowest s",
            "interval s",
            "share",
            "missed",
        ),
        rows,
    )


def _restart(curve: Curve) -> Part:
    return _part(
        curve,
        "A start after kill -9",
        (
            "As above, after the watched time: the process is killed and started on its data, with the log of some "
            f"{(WARM + WATCHED) / 60:.0f} minutes and a block of {HOURS} hours of what dashboards read. It is over "
            "when the group that holds ServiceDown was evaluated over what had been scraped before.",
            _WALL,
        ),
        ("series", "log MiB", "replaying it s", "ready s", "ServiceDown evaluated s"),
        [
            (
                step.head,
                round(step.restart.log / MIB),
                round(step.restart.replayed, 2),
                round(step.restart.ready, 2),
                round(step.restart.evaluated, 2),
            )
            for step in curve.steps
            if step.restart
        ],
    )


def _dashboards(curve: Curve) -> Part:
    steps = [step for step in curve.steps if step.pages]
    found = [{page.dashboard: page for page in step.pages} for step in steps]
    rows: list[Cells] = []
    for page in steps[-1].pages:
        cells = [
            f"{one.seconds:.2f} ({one.instant:.2f}, {one.range:.2f})" if (one := pages.get(page.dashboard)) else None
            for pages in found
        ]
        rows.append((page.dashboard, page.queries, *cells))
    return _part(
        curve,
        f"Dashboards over {HOURS} hours",
        (
            f"After that start: all queries of a dashboard over {HOURS} hours with All chosen, one after the other, "
            "the fastest of three tries. Seconds of all of them; in brackets the slowest at one moment and the slowest "
            "of a graph. The past is generated for what dashboards read; rules and scrapes go on meanwhile.",
            _WALL,
        ),
        ("dashboard", "queries", *(f"{step.head:,} series" for step in steps)),
        rows,
    )


def where(machine: Machine) -> str:
    """The machine in words."""
    return f"{machine.cores} cores of {machine.processor} with {machine.memory / GIB:.0f} GiB"
