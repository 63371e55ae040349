"""What PromQL expressions read, by a real parser of the language."""

import re

import promql_parser
from promql_parser import Expr, Matcher, MatchOp, VectorSelector


def selectors(expression: str) -> list[VectorSelector]:
    """Every selector of an expression, those inside ranges and subqueries too. Raises ValueError."""
    found: list[VectorSelector] = []

    def visit(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def matchers(selector: VectorSelector) -> list[Matcher]:
    """A selector's matchers; the metric's name is one of them, on `__name__`."""
    name = [Matcher(MatchOp.Equal, "__name__", selector.name)] if selector.name else []
    return [*name, *selector.matchers.matchers]


def accepts(matcher: Matcher, value: str) -> bool:
    """Whether a label of this value fits; an absent label has the value ""."""
    if matcher.op == MatchOp.Equal:
        return bool(value == matcher.value)
    if matcher.op == MatchOp.NotEqual:
        return bool(value != matcher.value)
    fits = re.fullmatch(matcher.value, value) is not None
    return fits if matcher.op == MatchOp.Re else not fits
