"""A preview as Markdown: alerts and dashboards in words, then objects, then lines."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from infra import rules
from infra.settings import ROOT
from infra.targets.kubernetes.pods import FINGERPRINT
from operate.preview import alerts
from operate.preview.sides import Document, Side

# A comment on GitHub holds 65,536 characters; the rest of them is for what stands around it.
LONGEST = 50_000
_CONTEXT = 2
_ROLLED = ("StatefulSet", "Deployment", "DaemonSet")


def markdown(stack: str, base: str, before: Side, after: Side) -> str:
    """The whole report."""
    objects = list(_objects(before, after))
    files = list(_files(before, after))
    pages = list(_pages(before, after))
    if not (objects or files or pages):
        return f"## {stack}\n\nNothing changes against {base}.\n"
    units = {name: threshold.unit for name, threshold in rules.thresholds(ROOT).items()}
    parts = [f"## {stack}, against {base}\n"]
    for title, lines in (
        ("Alerts and thresholds", alerts.changes(before, after, units)),
        ("Dashboards", pages),
        ("Objects", [words for words, _ in objects]),
        ("Files", [words for words, _ in files]),
    ):
        if lines:
            parts.append("\n".join([f"**{title}**\n", *(f"- {line}" for line in lines)]) + "\n")
    parts += _details([diff for _, diff in (*files, *objects) if diff])
    return "\n".join(parts)


def _details(diffs: list[list[str]]) -> list[str]:
    shown: list[str] = []
    length = 0
    for number, diff in enumerate(diffs):
        text = "\n".join(["```diff", *diff, "```\n"])
        length += len(text)
        if length > LONGEST:
            shown.append(f"{len(diffs) - number} more are too long to show; `make preview` on a checkout shows them.\n")
            break
        shown.append(text)
    return shown


def _objects(before: Side, after: Side) -> Iterator[tuple[str, list[str]]]:
    for name in sorted(before.objects.keys() | after.objects.keys()):
        old, new = before.objects.get(name), after.objects.get(name)
        if old == new:
            continue
        if old is None or new is None:
            yield f"`{name}` is {'new' if old is None else 'removed'}", []
            continue
        words = f"`{name}` changes"
        rolled = name.split("/")[0] in _ROLLED and old["spec"]["template"] != new["spec"]["template"]
        if rolled:
            words += ": its pods are replaced one after the other"
        diff = _diff(name, _text(old), _text(new))
        changed = [line for line in diff[2:] if line[0] in "+-"]
        # The fingerprint of files says nothing that the files do not.
        only_files = all(FINGERPRINT in line for line in changed)
        yield words + (", to read its changed files" if only_files else ""), [] if only_files else diff


def _files(before: Side, after: Side) -> Iterator[tuple[str, list[str]]]:
    for name in sorted(before.files.keys() | after.files.keys()):
        old, new = before.files.get(name), after.files.get(name)
        if old == new:
            continue
        state = "new" if old is None else "removed" if new is None else "changes"
        diff = _diff(name, old or "", new or "")
        added, gone = (sum(line[0] == sign for line in diff[2:]) for sign in "+-")
        yield (
            f"`{name}` {'is ' if state != 'changes' else ''}{state} (+{added} -{gone} lines)",
            diff if old and new else [],
        )


def _pages(before: Side, after: Side) -> Iterator[str]:
    for uid in sorted(before.pages.keys() | after.pages.keys()):
        old, new = before.pages.get(uid), after.pages.get(uid)
        if old == new:
            continue
        if old is None or new is None:
            yield f"`{uid}` is {'new' if old is None else 'removed'}"
            continue
        one, other = _panels(old), _panels(new)
        changed = sorted(title for title in one.keys() & other.keys() if one[title] != other[title])
        parts = [
            f"{what} {', '.join(f'“{title}”' for title in titles)}"
            for what, titles in (
                ("adds", sorted(other.keys() - one.keys())),
                ("removes", sorted(one.keys() - other.keys())),
                ("changes", changed),
            )
            if titles
        ]
        yield f"`{uid}` {'; '.join(parts) or 'changes its variables or its frame'}"


def _panels(page: Document) -> dict[str, Any]:
    """Every panel by its title, without where it stands."""
    found: dict[str, Any] = {}
    pending = list(page.get("panels", []))
    while pending:
        panel = pending.pop()
        pending += panel.get("panels") or []
        found[panel.get("title", "")] = {k: v for k, v in panel.items() if k not in ("id", "gridPos", "panels")}
    return found


def _diff(name: str, old: str, new: str) -> list[str]:
    """The changed lines by git, whose patience keeps an inserted block in one piece where lines repeat."""
    with tempfile.TemporaryDirectory(prefix="preview-") as folder:
        before, after = Path(folder, "before"), Path(folder, "after")
        before.write_text(old)
        after.write_text(new)
        command = ["git", "diff", "--no-index", "--no-color", "--no-ext-diff", "--patience", f"--unified={_CONTEXT}"]
        done = subprocess.run([*command, before, after], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("@@"))
    # What git says behind the second @@ is its guess at a function's name.
    hunks = [re.sub(r"^(@@ [^@]+ @@).*", r"\1", line) for line in lines[first:]]
    return [f"--- {name}", f"+++ {name}", *hunks]


def _text(item: Document) -> str:
    return yaml.safe_dump(item, sort_keys=True, width=160, allow_unicode=True)
