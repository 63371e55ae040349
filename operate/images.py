"""The images of the platform: pulled where a container registry answers, else built on this machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from infra.images import MANIFEST
from infra.settings import ROOT
from infra.stack import Stack
from infra.versions import IMAGES, PYTHON_BASE
from operate import image_steps, tools
from operate.recipes import Recipe, recipes, simulator_recipe
from operate.tools import BuildError, Say

Source = Literal["registry", "built"]
State = Literal["built", "pulled", "cached"]

UPSTREAM = {image.name: image.upstream for image in IMAGES if image.upstream is not None}

# Small, and wanted anyway, so that asking whether a registry answers costs nothing.
PROBE = UPSTREAM["node-exporter"]
PROBE_SECONDS = 120.0

UNAVAILABLE = {
    "grafana": "No package registry carries Grafana: it runs where its image can be pulled, and its "
    "dashboards are rendered as JSON everywhere."
}


@dataclass(frozen=True)
class Row:
    """One image of a report: its size in Docker's wording and the seconds spent on it in this run."""

    name: str
    image: str
    version: str
    size: str
    state: State
    seconds: float


@dataclass
class Report:
    """What a run of `build_all` came to; `failed` says, by name, why an image is missing."""

    source: Source
    rows: list[Row] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterable[str]:
        """The summary as text: a line for each image, then one for each that is missing."""
        for row in self.rows:
            spent = f"{row.seconds:.0f} s"
            yield f"{row.name:18} {row.version:9} {row.size:>8}  {row.state:7} {spent:>6}  {row.image}"
        for name, reason in self.failed.items():
            yield f"{name:18} missing: {reason}"


def ensure(stack: Stack, verbose: bool = False) -> None:
    """Make sure that every image of the stack is here, as its setting `images` says.

    With `verbose` the summary is printed also when there was nothing to do. Raises BuildError, once all
    the others are made, when one could not be.
    """
    chosen = stack.settings.images
    report = build_all(None if chosen == "auto" else chosen)
    if verbose or any(row.state != "cached" for row in report.rows):
        print("\n".join(report.lines()))
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        raise BuildError(f"{len(report.failed)} images are missing, first {name}: {reason}")


def build_all(source: Source | None = None, say: Say = tools.speak) -> Report:
    """Pull every pinned image where a container registry answers, else build them; write built.json.

    `source` decides instead of trying. What is there already is left alone. An image that cannot be had
    is in the report's `failed` and costs no other image. Raises BuildError when Docker does not answer.
    """
    architecture = image_steps.docker_architecture()
    with tools.lock("images", say):
        wanted = recipes()
        source = source or choose_source(wanted, say)
        report = Report(source)
        if source == "registry":
            _pull_missing(report, say)
            wanted = {"simulator": simulator_recipe(PYTHON_BASE)}
        _build_missing(wanted, architecture, report, say)
        write_manifest(report, ROOT / MANIFEST)
    return report


def choose_source(wanted: dict[str, Recipe], say: Say) -> Source:
    """What this machine holds complete decides; else whether a container registry answers."""
    present = image_steps.present()
    if all(recipe.tag in present for recipe in wanted.values()):
        return "built"
    if all(reference in present for reference in UPSTREAM.values()):
        return "registry"
    say(f"trying whether a container registry answers: docker pull {PROBE}")
    try:
        image_steps.pull(PROBE, timeout=PROBE_SECONDS)
    except BuildError as error:
        say(f"none does, so the images are built here, about 10 minutes the first time, and the downloads ({error})")
        return "built"
    return "registry"


def write_manifest(report: Report, path: Path) -> None:
    """Write which images stand for which names, whole or not at all."""
    named = {image.name for image in IMAGES}
    local = [row for row in report.rows if row.name in named and row.image != UPSTREAM.get(row.name)]
    unavailable = dict(UNAVAILABLE) if report.source == "built" else {}
    content = {
        "source": report.source,
        "images": {row.name: {"image": row.image, "version": row.version} for row in local},
        "unavailable": unavailable,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".partial")
    half.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(half, path)


def _pull_missing(report: Report, say: Say) -> None:
    present = image_steps.present()
    missing = {name: reference for name, reference in UPSTREAM.items() if reference not in present}

    def fetch(reference: str) -> None:
        say(f"pulling {reference} ...")
        image_steps.pull(reference)

    seconds = _attempt([(name, partial(fetch, reference)) for name, reference in missing.items()], report, say)
    sizes = image_steps.present()
    for image in IMAGES:
        if image.upstream in sizes:
            state: State = "pulled" if image.name in missing else "cached"
            spent = seconds.get(image.name, 0.0)
            report.rows.append(Row(image.name, image.upstream, image.version, sizes[image.upstream], state, spent))


def _build_missing(wanted: dict[str, Recipe], architecture: str, report: Report, say: Say) -> None:
    """Build what is not there: the binaries beside the Debian root, then bases before what stands on them."""
    present = image_steps.present()
    missing = [recipe for recipe in wanted.values() if recipe.tag not in present]
    roots = [recipe for recipe in missing if recipe.base is None]
    bases = [recipe for recipe in missing if recipe.name == "static"]
    leaves = [recipe for recipe in missing if recipe not in roots + bases]
    seconds = _attempt(
        [(recipe.name, partial(image_steps.make_root, recipe, say)) for recipe in roots]
        + [(r.name, partial(_ensure_binaries, r, say)) for r in leaves if r.binaries],
        report,
        say,
    )
    base_names = {recipe.tag: recipe.name for recipe in wanted.values()}
    for layer in (bases, leaves):
        for recipe in layer:
            if base_names.get(recipe.base or "") in report.failed:
                report.failed.setdefault(
                    recipe.name, f"it stands on the image {base_names[recipe.base or '']}, which is missing"
                )
        ready = [recipe for recipe in layer if recipe.name not in report.failed]
        steps = [(r.name, partial(image_steps.make_image, r, architecture, say)) for r in ready]
        for name, spent in _attempt(steps, report, say).items():
            seconds[name] = seconds.get(name, 0.0) + spent
    sizes = image_steps.present()
    for recipe in wanted.values():
        if recipe.name not in report.failed:
            state: State = "built" if recipe in missing else "cached"
            spent = seconds.get(recipe.name, 0.0)
            report.rows.append(Row(recipe.name, recipe.tag, recipe.version, sizes[recipe.tag], state, spent))


def _ensure_binaries(recipe: Recipe, say: Say) -> None:
    for name in recipe.binaries:
        tools.ensure(name, say)


def _attempt(steps: Sequence[tuple[str, Callable[[], None]]], report: Report, say: Say) -> dict[str, float]:
    """Run the steps two at a time; returns the seconds each took, and notes in the report which failed."""
    seconds: dict[str, float] = {}

    def run(name: str, step: Callable[[], None]) -> None:
        started = time.monotonic()
        try:
            step()
        except BuildError as error:
            report.failed[name] = str(error)
            say(f"{name}: {error}")
        seconds[name] = time.monotonic() - started

    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            for future in [pool.submit(run, name, step) for name, step in steps]:
                future.result()
        except BaseException:
            # Ctrl-C ends the running builds; those that wait must not start after it.
            pool.shutdown(cancel_futures=True)
            raise
    return seconds
