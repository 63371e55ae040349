"""`make rebaseline`: what thresholds compare, how often their alerts would have fired, and which ought to change.

From the history of a running Prometheus, for every threshold of configs/prometheus/thresholds.yml with the tuning of
the catalog and the settings:

1.  What the rule compares with its threshold is taken out of the rule's expression (separate.py) and asked for
    coarsely: each 5 minutes of a month. For a stored series the furthest value of each 5 minutes is asked for as well.
2.  Where that was beyond today's threshold, the value is asked for at the rule's own interval, together with the rule's
    other conditions, and `for` and `keep_firing_for` are applied (operate/replay.py): every time the alert would have
    fired. Thresholds that lie further out are tried on the same values; a rule whose threshold cannot be taken out is
    asked whole, once for each of them.
3.  A firing is noise where it was short (less than 30 minutes), near (less than twice as far from the service's median
    as the threshold is), and nothing came of it: no critical alert of the same service, about another quantity or the
    more severe one about the same, from 5 minutes before to 30 minutes after. Every other firing is a real incident.
4.  Too tight: at least three firings are noise, they are at least half of all, and more than 1 a week for a critical
    alert (2 for a warning, 7 for an info). The proposal lies a fifth further from the median than the noise came, or
    half way to the nearest real incident where that is nearer; it is made only where every real incident is still told
    of, at most 5 minutes later. Each service is judged by itself; where all are too tight, the proposal is for all.
5.  Too loose: it never fired in at least 28 days, and today's threshold is at least ten times as far from the median as
    the level that is expected once a year, by Gumbel's distribution of the daily extremes (distribution.py). So a quiet
    month is no reason: the year is extrapolated. The proposal is half way from today's threshold to the median, no
    nearer than three times the yearly level. Critical alerts and those with `symptom: "yes"` are never tightened: a
    page, and what customers bear, do not follow from a month in which nothing happened.
6.  Nothing is proposed for limits (`limit:` in thresholds.yml, with the reason, and every alert of
    `category: integrity`), of less than a week of history, across the threshold of a more severe alert about the same
    quantity, or for a service that is not in the catalog.

The numbers of 3 to 5 are judgement, not measurement: with a page a week for nothing people begin to ignore an alert,
and within half an hour whoever was paged has looked. They stand in proposal.py.

Nothing is applied. A proposal that infra would refuse is an error here.
"""

from __future__ import annotations

import argparse

from infra.stack import load
from operate import api, pages
from operate.rebaseline import change, check, figures, report, source, study


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rebaseline`."""
    parser.add_argument("--days", default="30", help="how far back, less where there is less (default: 30)")
    parser.add_argument("--prometheus", metavar="URL", help="whom to ask (default: the stack's)")
    parser.add_argument("--all", action="store_true", help="list the thresholds that never fired, too")
    parser.add_argument(
        "--check", action="store_true", help="print how well known answers are found in generated history"
    )


def run(options: argparse.Namespace) -> int:
    """Compare thresholds with history, and propose what ought to change; applies nothing."""
    days = api.days(options.days)
    if options.check:
        return 0 if check.check(days).print() else 1
    stack = load(options.stack)
    found = study.study(stack, source.of(stack, options.prometheus), days)
    alerts = change.tuning(stack, found.verdicts)
    change.checked(stack, alerts)
    block = change.block(alerts, found.verdicts)
    proposed = any(verdict.proposed is not None for of in found.verdicts.values() for verdict in of)
    difference = change.difference(stack, block) if proposed else ""
    report.show(found, options.all)
    place = pages.write(stack.name, "rebaseline", report.page(found, difference), figures.figures(found))
    proposal = place.with_suffix(".yaml")
    proposal.write_text(block)
    if difference:
        print(f"\n{difference}")
    print(f"report: {pages.shown(place)}; proposal: {pages.shown(proposal)}; nothing has been applied")
    return 0
