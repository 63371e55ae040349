"""docs/PERFORMANCE.md: what was measured, part by part, from the figures saved below docs/performance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from infra.errors import InputError, first_failure
from operate.documents.paragraphs import wrapped

FILE = "docs/PERFORMANCE.md"
FOLDER = "docs/performance"
# The order of reading; parts of other names come after these.
ORDER = (
    "fault-to-notification",
    "drill",
    "scale-resources",
    "scale-rules",
    "scale-groups",
    "scale-costly",
    "scale-beside",
    "scale-scrapes",
    "scale-restart",
    "scale-dashboards",
    "dashboards",
    "at-rest",
    "under-fire",
)
_INTRODUCTION = """\
# Performance

What the platform was measured to take, and how each figure came about. `make documents` writes this page from the
figures below `docs/performance`; `make bench DOCUMENT=1` takes those from what was measured last. A figure that was not
measured is not here.

The machine is named with each part; it was shared with other work. Measure on your own before you rely on a time:

```bash outside
make bench ONLY=scale SERIES=10000,30000,100000
make bench DOCUMENT=1
```
"""


class Part(BaseModel):
    """One table: what was measured and how. `day` is that of the measurement, `machine` where, without its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1)
    method: tuple[str, ...] = Field(min_length=1)
    columns: tuple[str, ...] = Field(min_length=1)
    rows: tuple[tuple[str | int | float | None, ...], ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    machine: str = ""
    day: str = ""

    @model_validator(mode="after")
    def _even(self) -> Part:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row has {len(row)} cells for the columns {', '.join(self.columns)}")
        return self


def load(root: Path) -> dict[str, Part]:
    """The parts below docs/performance by name, in the order of reading. Raises InputError naming a wrong file."""
    found = {}
    for path in sorted((root / FOLDER).glob("*.json")):
        place = f"{FOLDER}/{path.name}"
        try:
            found[path.stem] = Part.model_validate_json(path.read_text())
        except ValidationError as error:
            raise InputError(first_failure(place, error)) from None
    known = {name: number for number, name in enumerate(ORDER)}
    return {name: found[name] for name in sorted(found, key=lambda name: (known.get(name, len(known)), name))}


def save(root: Path, parts: Mapping[str, Part]) -> list[str]:
    """Write parts by name into docs/performance, where the document takes them from; their files."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        text = json.dumps(part.model_dump(exclude_defaults=True), indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n")
    return [f"{FOLDER}/{name}.json" for name in parts]


def text(root: Path) -> str:
    """The document as it has to be. Raises InputError."""
    return "\n".join([_INTRODUCTION, *(_part(part) for part in load(root).values())])


def _part(part: Part) -> str:
    measured = " on ".join(filter(None, (part.day, part.machine)))
    method = [*([f"Measured {measured}."] if measured else []), *part.method]
    paragraphs = [f"## {part.title}", wrapped(" ".join(method)), _table(part), *(wrapped(note) for note in part.notes)]
    return "\n\n".join(paragraphs) + "\n"


def _table(part: Part) -> str:
    numeric = [
        all(isinstance(row[place], int | float | None) for row in part.rows) for place in range(len(part.columns))
    ]
    lines = [_row(part.columns), "|" + "|".join("--:" if number else "---" for number in numeric) + "|"]
    return "\n".join([*lines, *(_row([cell(value) for value in row]) for row in part.rows)])


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(one.replace('|', chr(92) + '|') for one in cells)} |"


def cell(value: str | int | float | None) -> str:
    """A figure as people read it."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else value
