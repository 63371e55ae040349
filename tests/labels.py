"""Which labels the result of an expression can have, and what an expression asks for that is not there.

An upper bound: a label that is named here may be absent, one that is not named is never there.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import promql_parser
from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    BinModifier,
    Call,
    Expr,
    LabelModifierType,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorMatchCardinality,
    VectorSelector,
)

from tests.exposed import Known
from tests.promql import accepts, matchers

PICKING = ("topk", "bottomk", "limitk", "limit_ratio")
WRAPPING = (ParenExpr, UnaryExpr, SubqueryExpr)
SET_OPERATORS = ("and", "unless", "or")


@dataclass(frozen=True)
class Labels:
    """`names` is None where anything may be there; `fixed` are those that have one value in all series."""

    names: frozenset[str] | None
    fixed: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether a series can have the label."""
        return self.names is None or name in self.names

    @property
    def varying(self) -> frozenset[str]:
        """What tells the series of the result from each other, as far as it is known."""
        return (self.names or frozenset()) - self.fixed

    def only(self, names: list[str]) -> "Labels":
        """Those of the names that can be there."""
        return Labels(frozenset(n for n in names if self.has(n)), self.fixed & set(names))

    def without(self, *names: str) -> "Labels":
        """All but these."""
        return Labels(None if self.names is None else self.names - set(names), self.fixed - set(names))

    def plus(self, *names: str) -> "Labels":
        """These too, with whatever values."""
        return Labels(None if self.names is None else self.names | set(names), self.fixed - set(names))


NONE = Labels(frozenset())
ANY = Labels(None)


def either(left: Labels, right: Labels) -> Labels:
    """What series of the one or the other can have."""
    if left.names is None or right.names is None:
        return ANY
    return Labels(left.names | right.names, left.fixed & right.fixed)


@dataclass
class Reader:
    """Reads expressions against what is known; recorded series have the labels that their rules leave them."""

    known: Known
    _recorded: dict[str, Labels] = field(default_factory=dict)

    def labels(self, expression: str) -> Labels:
        """What the result of an expression can have. Raises ValueError for one that does not parse."""
        return self._labels(promql_parser.parse(expression), [])

    def problems(self, expression: str) -> Iterator[str]:
        """What the expression asks for that is not there, one sentence each."""
        found: list[str] = []
        self._labels(promql_parser.parse(expression), found)
        yield from dict.fromkeys(found)

    def _labels(self, node: Expr, problems: list[str]) -> Labels:
        match node:
            case VectorSelector():
                return self._selected(node, problems)
            case MatrixSelector():
                return self._selected(node.vector_selector, problems)
            case Call():
                return self._called(node, problems)
            case AggregateExpr():
                return self._aggregated(node, problems)
            case BinaryExpr():
                return self._combined(node, problems)
        return self._labels(node.expr, problems) if isinstance(node, WRAPPING) else NONE

    def _selected(self, selector: VectorSelector, problems: list[str]) -> Labels:
        by_label = defaultdict(list)
        for matcher in matchers(selector):
            by_label[matcher.name].append(matcher)
        names, exposed = self.known.read_by(selector)
        found = NONE
        for name in sorted(names):
            found = either(found, self._of_record(name))
        for each in exposed:
            found = either(found, Labels(each.labels))
        if not names and not exposed:
            problems.append(self._missing(selector))
            return ANY
        del by_label["__name__"]
        for label, asked in by_label.items():
            # `label=""` asks that there be none.
            if not found.has(label) and not all(m.value == "" and accepts(m, "") for m in asked):
                problems.append(f"{selector} has no label {label}; it has {', '.join(sorted(found.names or ()))}")
        fixed = {m.name for m in selector.matchers.matchers if m.op == MatchOp.Equal}
        return Labels(found.names, found.fixed | fixed)

    def _missing(self, selector: VectorSelector) -> str:
        of_name = [m for m in matchers(selector) if m.name == "__name__"]
        jobs = {each.job for each in self.known.exposed if all(accepts(m, each.name) for m in of_name)}
        if jobs:
            return f"{selector} is not exposed by that job; it is by {', '.join(sorted(jobs))}"
        return f"nothing exposes {selector}"

    def _of_record(self, name: str) -> Labels:
        if name not in self._recorded:
            self._recorded[name] = ANY  # A rule that reads what it records itself.
            self._recorded[name] = self._of_rules(name)
        return self._recorded[name]

    def _of_rules(self, name: str) -> Labels:
        alerts = name.startswith("ALERTS")
        found = [
            self._labels(promql_parser.parse(str(rule["expr"])), []).plus(*rule.get("labels", {}))
            for rule in ([r for _, r in self.known.rules if "alert" in r] if alerts else self.known.recorded[name])
        ]
        if not found:
            return ANY
        result = found[0]
        for other in found[1:]:
            result = either(result, other)
        return result.plus("alertname", "alertstate") if alerts else result

    def _called(self, call: Call, problems: list[str]) -> Labels:
        given = [self._labels(argument, problems) for argument in call.args]
        vectors = [labels for labels, node in zip(given, call.args, strict=True) if not _is_literal(node)]
        match call.func.name:
            case "label_replace" | "label_join":
                written = call.args[1]
                assert isinstance(written, StringLiteral)
                return given[0].plus(written.val)
            case "histogram_quantile":
                if not given[1].has("le"):
                    problems.append(f"{call} has no label le")
                return given[1].without("le")
            case "absent" | "absent_over_time":
                return Labels(given[0].fixed, given[0].fixed)
            case "vector" | "scalar" | "time":
                return NONE
        return vectors[0] if vectors else NONE

    def _aggregated(self, node: AggregateExpr, problems: list[str]) -> Labels:
        inner = self._labels(node.expr, problems)
        if node.param is not None:
            self._labels(node.param, problems)
        asked = list(node.modifier.labels) if node.modifier else []
        for label in asked:
            if not inner.has(label):
                problems.append(f"{node} groups by {label}, which is not there")
        if str(node.op) in PICKING:
            return inner
        leaves_out = node.modifier is not None and node.modifier.type == AggModifierType.Without
        result = inner.without(*asked) if leaves_out else inner.only(asked)
        return result.plus(str(node.param.val)) if isinstance(node.param, StringLiteral) else result

    def _combined(self, node: BinaryExpr, problems: list[str]) -> Labels:
        left, right = self._labels(node.lhs, problems), self._labels(node.rhs, problems)
        if _is_scalar(node.lhs) or _is_scalar(node.rhs):
            return right if _is_scalar(node.lhs) else left
        modifier = node.modifier
        matching = modifier.matching if modifier else None
        on = matching is not None and matching.type == LabelModifierType.Include
        for label in matching.labels if matching is not None and on else ():
            sides = [str(side) for side, labels in ((node.lhs, left), (node.rhs, right)) if not labels.has(label)]
            problems.extend(f"{side} has no label {label} to be matched on" for side in sides)
        if str(node.op) in SET_OPERATORS:
            return either(left, right) if str(node.op) == "or" else left
        return _arithmetic(left, right, modifier, list(matching.labels) if matching else [], on)


def _arithmetic(left: Labels, right: Labels, modifier: BinModifier | None, matched: list[str], on: bool) -> Labels:
    if modifier is not None and modifier.card == VectorMatchCardinality.ManyToOne:
        return left.plus(*(modifier.group_labels or ()))
    if modifier is not None and modifier.card == VectorMatchCardinality.OneToMany:
        return right.plus(*(modifier.group_labels or ()))
    if on:
        return left.only(matched)
    result = left.without(*matched)
    return Labels(result.names, result.fixed | (right.fixed - set(matched)) & (result.names or frozenset()))


def _is_literal(node: Expr) -> bool:
    return isinstance(node, NumberLiteral | StringLiteral)


def _is_scalar(node: Expr) -> bool:
    """Numbers, and what is made of numbers alone."""
    match node:
        case ParenExpr() | UnaryExpr():
            return _is_scalar(node.expr)
        case BinaryExpr():
            return _is_scalar(node.lhs) and _is_scalar(node.rhs)
        case Call():
            return str(node.func.name) in ("time", "scalar", "pi")
    return isinstance(node, NumberLiteral)
