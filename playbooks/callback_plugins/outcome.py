"""The last lines of a run: what became of each host, and why."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: outcome
type: aggregate
short_description: What became of each host
description: Says after the recap which hosts were installed, upgraded, changed, unchanged, removed or failed, and why.
requirements: [enabled by callbacks_enabled in ansible.cfg]
"""

# In the order they are told: what a person has to act on comes last, where the eye is.
OUTCOMES = ("unchanged", "installed", "upgraded", "changed", "removed", "not done", "unreachable", "failed")


class CallbackModule(CallbackBase):
    """Listens to the run of the two playbooks of this folder."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "outcome"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._facts: dict[str, dict[str, Any]] = defaultdict(dict)
        self._reasons: dict[str, str] = {}
        self._unreachable: set[str] = set()
        self._asked: list[str] = []
        self._check = False

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Which hosts the play is for, whether or not it comes to them."""
        manager = play.get_variable_manager()
        self._check = bool(getattr(play, "check_mode", False))
        pattern = play.hosts
        inventory = manager._inventory
        # Without the restriction to the batch that comes now; --limit holds.
        for host in inventory.get_hosts(pattern, ignore_restrictions=True):
            if host.get_name() not in self._asked:
                self._asked.append(host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        """The role says by facts what there was, what there is, and whether it was removed."""
        facts = result.result.get("ansible_facts") or {}
        self._facts[result.host.get_name()].update(
            {name: value for name, value in facts.items() if name.startswith("__node_exporter_")}
        )

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """The last failure is the one that ended it: an earlier one was rescued."""
        if ignore_errors:
            return
        self._reasons[result.host.get_name()] = _reason(result.result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """No SSH, no Python, no sudo."""
        name = result.host.get_name()
        self._unreachable.add(name)
        self._reasons[name] = _reason(result.result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the outcomes."""
        outcomes: dict[str, list[str]] = defaultdict(list)
        for name in self._asked:
            outcome, detail = self._outcome(name, stats)
            outcomes[outcome].append(f"{name}{detail}")
        if not self._asked:
            return
        would = " (rehearsed: nothing was changed)" if self._check else ""
        counts = ", ".join(f"{len(outcomes[each])} {each}" for each in OUTCOMES if outcomes[each])
        self._display.display(f"\nnode exporters on {len(self._asked)} hosts: {counts}{would}")
        for each in OUTCOMES:
            bad = each in ("unreachable", "failed", "not done")
            lines = outcomes[each] if bad else [", ".join(outcomes[each])] if outcomes[each] else []
            for line in lines:
                self._display.display(f"  {each:11} {line}", color="red" if bad else None)

    def _outcome(self, name: str, stats: Any) -> tuple[str, str]:
        counted = stats.summarize(name)
        facts = self._facts[name]
        if name in self._unreachable:
            return "unreachable", f": {self._reasons[name]}"
        if counted["failures"]:
            return "failed", f": {self._reasons.get(name, 'failed')}"
        changed = bool(counted["changed"])
        if facts.get("__node_exporter_removed"):
            return ("removed" if changed else "unchanged"), ""
        if "__node_exporter_is" not in facts:
            return "not done", ": the run ended before it was through with this host"
        was, now = facts["__node_exporter_was"], facts["__node_exporter_is"]
        if was not in ("", now):
            return "upgraded", f" ({was} to {now})"
        return ("installed" if not was else "changed" if changed else "unchanged"), ""


def _reason(data: dict[str, Any]) -> str:
    """What a task says of its failure; of a loop, what the first item says that failed."""
    failed = [item for item in data.get("results") or [] if item.get("failed") or item.get("unreachable")]
    said = next((item["msg"] for item in failed if item.get("msg")), data.get("msg"))
    return " ".join(str(said or "failed").split())
