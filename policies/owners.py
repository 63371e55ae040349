"""Whether an alert's expression leaves the label `team`, by which Alertmanager finds the owner."""

from __future__ import annotations

from typing import Any

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, ParenExpr, SubqueryExpr, UnaryExpr

TEAM = "team"
_SETS = ("and", "unless")


def keeps_team(expression: str) -> bool:
    """Whether every series of the expression has the team that what it selects has."""
    return _keeps(promql_parser.parse(expression))


def _keeps(node: Expr) -> bool:
    if isinstance(node, AggregateExpr):
        return _grouped(node)
    if isinstance(node, BinaryExpr):
        return _joined(node)
    if isinstance(node, ParenExpr | UnaryExpr | SubqueryExpr):
        return _keeps(node.expr)
    if isinstance(node, Call):
        name = node.func.name
        if name == "label_replace" and _text(node.args[1]) == TEAM:
            return True
        # `absent` has the labels of equality matchers alone, `vector` none.
        return name not in ("absent", "vector", "time") and any(_keeps(each) for each in node.args)
    return isinstance(node, promql_parser.VectorSelector | MatrixSelector)


def _grouped(node: AggregateExpr) -> bool:
    modifier = node.modifier
    if modifier is None:
        return str(node.op) in ("topk", "bottomk") and _keeps(node.expr)
    by = str(modifier.type).endswith("By")
    return (TEAM in modifier.labels) == by and _keeps(node.expr)


def _joined(node: BinaryExpr) -> bool:
    operator = str(node.op)
    if operator == "or":
        return _keeps(node.lhs) and _keeps(node.rhs)
    if operator in _SETS or not _is_vector(node.rhs):
        return _keeps(node.lhs)
    if not _is_vector(node.lhs):
        return _keeps(node.rhs)
    matching: Any = node.modifier.matching if node.modifier else None
    card = str(node.modifier.card) if node.modifier else ""
    if "OneToMany" in card:
        return _keeps(node.rhs)
    if "ManyToOne" in card or matching is None:
        return _keeps(node.lhs)
    # One to one, the result has the labels that are compared.
    on = str(matching.type).endswith("Include")
    return (TEAM in matching.labels) == on and _keeps(node.lhs)


def _is_vector(node: Expr) -> bool:
    if isinstance(node, ParenExpr | UnaryExpr):
        return _is_vector(node.expr)
    if isinstance(node, BinaryExpr):
        return _is_vector(node.lhs) or _is_vector(node.rhs)
    if isinstance(node, Call):
        return node.func.name not in ("time", "scalar", "pi")
    return not isinstance(node, promql_parser.NumberLiteral)


def _text(node: Expr) -> str:
    return str(node.val) if isinstance(node, promql_parser.StringLiteral) else ""
