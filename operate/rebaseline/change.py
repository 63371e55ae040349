"""The proposals as the `config:` block of Pulumi.<stack>.yaml, and as a difference to that file, which stays."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Mapping
from typing import Any

import yaml

from infra import assembly, rules, settings
from infra import stack as stacks
from infra.settings import NAMESPACE
from infra.stack import Stack
from operate.rebaseline.verdict import Verdict

_KEY = f"{NAMESPACE}:alerts"
_INDENT = "  "


def tuning(stack: Stack, verdicts: Mapping[str, list[Verdict]]) -> dict[str, dict[str, dict[str, Any]]]:
    """The setting `alerts` with the proposals in it: alert, service, what differs."""
    present = settings.stack_file_values(stack.name, stack.root).get("alerts") or {}
    found = {alert: {service: dict(value) for service, value in of.items()} for alert, of in present.items()}
    for alert, of in verdicts.items():
        for verdict in of:
            if verdict.proposed is not None:
                found.setdefault(alert, {})[verdict.service] = {"threshold": verdict.proposed}
    return found


def checked(stack: Stack, alerts: Mapping[str, Any]) -> Stack:
    """The stack with other `alerts`, as infra reads it. Raises InputError where it refuses them."""
    values = {**settings.stack_file_values(stack.name, stack.root), "alerts": alerts}
    changed = stacks.load(stack.name, settings.from_config(values, f"Pulumi.{stack.name}.yaml"), stack.root)
    rules.load(changed, assembly.workloads(changed))
    return changed


def block(alerts: Mapping[str, Mapping[str, Mapping[str, Any]]], verdicts: Mapping[str, list[Verdict]]) -> str:
    """The `config:` block: every alert of the setting, the proposals with their evidence as comments."""
    lines = ["config:", f"{_INDENT}{_KEY}:{'' if alerts else ' {}'}"]
    for alert, services in alerts.items():
        lines.append(f"{_INDENT * 2}{alert}:")
        evidence = {
            v.service: f"{v.today:g} before: {v.evidence}" for v in verdicts.get(alert, ()) if v.proposed is not None
        }
        for service, value in services.items():
            lines += textwrap.wrap(
                evidence.get(service, ""), 116, initial_indent=f"{_INDENT * 3}# ", subsequent_indent=f"{_INDENT * 3}# "
            )
            [(what, said)] = value.items()
            key = service if service != rules.EVERY else json.dumps(service)
            shown = f"{said:.12g}" if isinstance(said, int | float) else json.dumps(said, ensure_ascii=False)
            lines.append(f"{_INDENT * 3}{key}: {{{what}: {shown}}}")
    return "\n".join(lines) + "\n"


def applied(text: str, written: str) -> str:
    """The text of a Pulumi.<stack>.yaml with the block of `written` in place of its own."""
    fresh = written.splitlines()[1:]
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    config = next((value for key, value in _pairs(root) if key.value == "config"), None)
    if config is None or not _pairs(config):
        without = [line for line in lines if not line.startswith("config:")]
        return "\n".join([*without, "config:", *fresh]) + "\n"
    for key, value in _pairs(config):
        if key.value == _KEY:
            return "\n".join([*lines[: key.start_mark.line], *fresh, *lines[_end(lines, value) :]]) + "\n"
    last = _end(lines, _pairs(config)[-1][1])
    return "\n".join([*lines[:last], *fresh, *lines[last:]]) + "\n"


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _end(lines: list[str], value: yaml.Node) -> int:
    """The line after the last one of a value; comments and blank lines after it belong to what follows."""
    mark = value.end_mark
    # A block ends where the next token begins, anything else behind its last character.
    end = mark.line + bool(mark.line < len(lines) and lines[mark.line][: mark.column].strip())
    while end > value.start_mark.line + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def difference(stack: Stack, written: str) -> str:
    """What the proposal changes in Pulumi.<stack>.yaml, as a unified difference; empty where nothing."""
    name = f"Pulumi.{stack.name}.yaml"
    before = (stack.root / name).read_text()
    lines, after = (text.splitlines(keepends=True) for text in (before, applied(before, written)))
    return "".join(difflib.unified_diff(lines, after, f"a/{name}", f"b/{name}"))
