"""Takes out of a rule's expression what it compares with its threshold, so that other thresholds can be tried on it.

    subject > on (service) group_left () alert:threshold{alert="A"} and on (job) floor > 1 or other > 7200

becomes the part `subject and on (job) floor > 1`, of which a value above any threshold fires, and the part
`other > 7200`, which fires whatever the threshold is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import promql_parser
from promql_parser import BinaryExpr, Expr, ParenExpr, UnaryExpr, VectorSelector

from operate.quiet_week.week import Array

_FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
# Rules whose threshold cannot be taken out, each with the reason. They are replayed whole, once for each candidate.
INSEPARABLE = {
    "DDoSDetected": "addresses and requests must both be beyond the threshold",
    "HostClockSkewed": "what it shows has a sign, what is compared with the threshold has none",
    "LowKYCApprovalRate": "the last half hour ends the alert by the same threshold",
    "ErrorBudgetBurnFast": "a long and a short window must both be beyond the threshold",
    "ErrorBudgetBurn": "a long and a short window must both be beyond the threshold",
    "ErrorBudgetBurnSlow": "a long and a short window must both be beyond the threshold",
    "ErrorBudgetBurnCreeping": "a long and a short window must both be beyond the threshold",
}


@dataclass(frozen=True)
class Comparison:
    """`subject` (PromQL) compared by `operator` (>, >=, <, <=) with the threshold: what it fires on."""

    subject: str
    operator: str

    @property
    def above(self) -> bool:
        """Whether it fires above the threshold."""
        return self.operator.startswith(">")

    @property
    def plain(self) -> bool:
        """Whether the subject is one series as it is stored, of which a maximum over time is cheap."""
        return isinstance(promql_parser.parse(self.subject), VectorSelector)

    def beyond(self, values: Array, threshold: float | Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which values fire."""
        if self.operator.endswith("="):
            return values >= threshold if self.above else values <= threshold
        return values > threshold if self.above else values < threshold


@dataclass(frozen=True)
class Part:
    """One operand of the expression's outermost `or`; without a comparison it fires wherever it has a result.

    With one, `text` has the compared value where the rule's other conditions hold.
    """

    text: str
    comparison: Comparison | None


@dataclass(frozen=True)
class Separated:
    """What a rule compares with its threshold; `parts` is None where the threshold cannot be taken out."""

    comparisons: tuple[Comparison, ...]
    parts: tuple[Part, ...] | None


class _EntangledError(Exception):
    """The threshold stands where its effect on the result is more than a filter."""


def threshold_selector(alert: str) -> str:
    """How a rule reads its threshold, in the parser's own spelling."""
    return f'alert:threshold{{alert="{alert}"}}'


def separate(expr: str, alert: str) -> Separated:
    """Read the expression of a rule that compares with the threshold of `alert`. Raises ValueError where it is none."""
    root = promql_parser.parse(expr)
    threshold = threshold_selector(alert)
    comparisons = tuple(_comparisons(root, threshold))
    try:
        parts = tuple(_parts(root, threshold))
        if any(str(promql_parser.parse(part.text)) != part.text for part in parts):
            raise _EntangledError  # the parser does not write every string as it read it
    except (_EntangledError, ValueError):
        return Separated(comparisons, None)
    return Separated(comparisons, parts)


def _comparisons(root: Expr, threshold: str) -> Iterator[Comparison]:
    found: list[Comparison] = []

    def visit(node: Expr) -> bool:
        comparison = _comparison(node, threshold)
        if comparison:
            found.append(comparison)
        return True

    promql_parser.walk(root, visit)
    yield from dict.fromkeys(found)


def _comparison(node: Expr, threshold: str) -> Comparison | None:
    if (
        not isinstance(node, BinaryExpr)
        or str(node.op) not in _FLIPPED
        or (node.modifier and node.modifier.return_bool)
    ):
        return None
    other, negative = _bare(node.rhs), False
    if isinstance(other, UnaryExpr):
        other, negative = _bare(other.expr), True
    if str(other) != threshold or threshold in str(node.lhs):
        return None
    operator, subject = str(node.op), str(_bare(node.lhs))
    return Comparison(f"-({subject})", _FLIPPED[operator]) if negative else Comparison(subject, operator)


def _bare(node: Expr) -> Expr:
    while isinstance(node, ParenExpr):
        node = node.expr
    return node


def _parts(node: Expr, threshold: str) -> Iterator[Part]:
    node = _bare(node)
    if threshold not in str(node):
        yield Part(str(node), None)
        return
    if comparison := _comparison(node, threshold):
        yield Part(comparison.subject, comparison)
        return
    if not isinstance(node, BinaryExpr) or (threshold in str(node.rhs) and str(node.op) != "or"):
        raise _EntangledError
    matching = str(node.modifier) if node.modifier else ""
    if str(node.op) == "or" and not matching:
        yield from _parts(node.lhs, threshold)
        yield from _parts(node.rhs, threshold)
    elif str(node.op) in ("and", "unless"):
        # Both only choose among the left side's series, so they choose among each part's.
        for part in _parts(node.lhs, threshold):
            whole = f"({part.text}) {node.op} {matching} ({node.rhs})"
            yield Part(str(promql_parser.parse(whole)), part.comparison)
    else:
        raise _EntangledError
