"""The review as one Slack message in mrkdwn, short enough for one block."""

from __future__ import annotations

from collections.abc import Iterator

from operate.review.report import Review, counted, moment, span, value

# https://docs.slack.dev/reference/block-kit/blocks/section-block: a text has 3000 characters at most.
MOST = 3000
_LINES = 5
_LONGEST = 220


def text(review: Review) -> str:
    """The message: a title, what happened, and what to look at; a quiet week is two lines. Under MOST characters."""
    lines = [f"*Alerts of {escaped(review.stack)}, {review.period}*", escaped(review.verdict())]
    for title, items in (
        ("Noisiest", list(_noisy(review))),
        ("Flapping", list(_flapping(review))),
        ("Still firing", [f"{e.alert}, {e.subject}, since {moment(e.start)}" for e in review.week.firing()]),
        ("Silenced until", [f"{moment(s.end)}: {s.subject}, by {s.author}: {s.comment}" for s in review.in_force()]),
        ("Stores beyond a threshold", list(_stores(review))),
    ):
        if items:
            lines.append(f"*{title}*")
            lines += [f"• {_cut(item)}" for item in items[:_LINES]]
            lines += [f"• and {len(items) - _LINES} more"] if len(items) > _LINES else []
    while len("\n".join(lines)) >= MOST:
        lines.pop()
    return "\n".join(lines)


def escaped(words: str) -> str:
    """As Slack wants its three control characters."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(words: str) -> str:
    plain = " ".join(words.split())
    return escaped(plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…")


def _noisy(review: Review) -> Iterator[str]:
    for row in review.week.rows():
        if row.count and row.severity in ("critical", "warning"):
            before = "" if row.before is None else f" ({row.before} before)"
            team = ", ".join(row.teams)
            yield f"{row.alert}: {counted(row.count, 'time')}{before}, {span(row.total)} in all, {row.severity}, {team}"


def _flapping(review: Review) -> Iterator[str]:
    for row in review.week.rows():
        for subject in row.flapping:
            yield f"{row.alert}, {subject}"


def _stores(review: Review) -> Iterator[str]:
    for figure in review.beyond():
        worst, limit = value(figure.worst, figure.unit), value(figure.limit or 0, figure.unit)
        yield f"{figure.what} of {figure.subject}: {worst} on {moment(figure.at)} (threshold {limit})"
