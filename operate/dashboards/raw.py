"""An expression as it would be without recording rules: over the raw series alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from operate import promql
from operate.replay import Rule

# What the catalog and the thresholds say; without rules it would stand in the expressions as numbers.
FACTS = ("catalog:", "alert:threshold", "alert:subject")
_MATCHER = re.compile(r"""([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)""")
_RANGE = re.compile(r"\s*\[([^\]]*)\]")
_OFFSET = re.compile(r"\s*offset\s+(-?\w+)")
_SUBQUERY_STEP = "1m"

Matcher = tuple[str, str, str]


class Definitions:
    """What recording rules stand for. `labels` are those the series of each metric have, by its name."""

    def __init__(self, rules: Iterable[Rule], labels: Mapping[str, set[str]]) -> None:
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            if not rule.alerting and not rule.name.startswith(FACTS):
                self._rules.setdefault(rule.name, []).append(rule)
        self._labels = labels

    def raw(self, expr: str) -> str:
        """The expression with every recorded series replaced by what it is recorded from, to the end."""
        for selector in reversed(promql.selectors(expr)):
            if selector.name not in self._rules:
                continue
            body = self._definition(selector, expr[selector.start : selector.end])
            rest = expr[selector.end :]
            window, offset = _RANGE.match(rest), _OFFSET.match(rest)
            if window is not None:
                step = "" if ":" in window[1] else f":{_SUBQUERY_STEP}"
                rest = f"[{window[1]}{step}]{rest[window.end() :]}"
                # A rule drops the name; of `a or 0 * b` it would be here at one moment and not at the next.
                body = f"({body}) + 0"
            elif offset is not None:
                body, rest = _shifted(body, offset[1]), rest[offset.end() :]
            expr = f"{expr[: selector.start]}({body}){rest}"
        return expr

    def _definition(self, selector: promql.Selector, text: str) -> str:
        matchers: list[Matcher] = [(m[1], m[2], m[3]) for m in _MATCHER.finditer(text) if m[1] != "__name__"]
        chosen = [rule for rule in self._rules[selector.name] if _fits(rule, matchers)]
        if not chosen:
            return text
        return " or ".join(self._of(rule, matchers) for rule in chosen)

    def _of(self, rule: Rule, matchers: list[Matcher]) -> str:
        expr = self.raw(rule.expr.strip())
        made = set(rule.labels)
        if "label_replace" in expr or "label_join" in expr:
            made |= {label for label, _, _ in matchers if f'"{label}"' in expr}
        for inner in reversed(promql.selectors(expr)):
            text = expr[inner.start : inner.end]
            # What a rule asks of a label is part of its definition: `!=` on top of it would empty a denominator.
            taken = made | {match[1] for match in _MATCHER.finditer(text)}
            pushed = [m for m in matchers if m[0] not in taken and m[0] in self._labels.get(inner.name, ())]
            expr = f"{expr[: inner.start]}{_with(text, pushed)}{expr[inner.end :]}"
        for label, value in rule.labels.items():
            expr = f'label_replace({expr}, "{label}", "{value}", "", "")'
        return expr


def _with(selector: str, matchers: list[Matcher]) -> str:
    if not matchers:
        return selector
    more = ", ".join("".join(matcher) for matcher in matchers)
    name, _, inside = selector.partition("{")
    before = inside.removesuffix("}").strip().rstrip(",")
    return f"{name}{{{before}, {more}}}" if before else f"{name}{{{more}}}"


def _fits(rule: Rule, matchers: list[Matcher]) -> bool:
    """Whether the labels a rule adds are among those asked for; what the data decides fits."""
    for label, operator, quoted in matchers:
        value = rule.labels.get(label)
        if value is not None:
            wanted = quoted[1:-1]
            same = re.fullmatch(wanted, value) is not None if operator in ("=~", "!~") else wanted == value
            if same == operator.startswith("!"):
                return False
    return True


def _shifted(expr: str, offset: str) -> str:
    """The expression as it was an offset ago: `offset` belongs to selectors."""
    found = promql.selectors(expr)
    tails = [(selector.end, expr[selector.end :]) for selector in found]
    ends = [end + (match.end() if (match := _RANGE.match(tail)) else 0) for end, tail in tails]
    if any(_OFFSET.match(expr[end:]) for end in ends):
        return f"last_over_time(({expr})[{_SUBQUERY_STEP}:{_SUBQUERY_STEP}] offset {offset})"
    for end in reversed(ends):
        expr = f"{expr[:end]} offset {offset}{expr[end:]}"
    return expr
