"""The page of all that was measured: a section for each part, charts over series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from infra.workload import MIB
from operate import pages
from operate.bench.figures import SHARE, Curve, Step
from operate.documents.performance import ORDER, Part


def page(title: str, curve: Curve | None, parts: Mapping[str, Part]) -> pages.Page:
    """Every part in the order of reading; the verdict names each bound that does not hold."""
    drawn = charts(curve) if curve and curve.steps else {}
    sections = [section(parts[name], drawn.get(name, [])) for name in ORDER if name in parts]
    beyond = [one for step in (curve.steps if curve else ()) for one in step.beyond()]
    return pages.Page(title, "; ".join(beyond) or "Every bound holds at every size that was measured.", sections)


def section(part: Part, charts: Sequence[pages.Chart] = ()) -> pages.Section:
    """A part as a section of the page."""
    return pages.Section(
        part.title,
        text=[" ".join(part.method), *part.notes],
        tables=[pages.Table(part.columns, part.rows)],
        charts=charts,
    )


def charts(curve: Curve) -> dict[str, list[pages.Chart]]:
    """What is drawn over series, by the part it belongs to."""

    def line(name: str, value: Callable[[Step], float | None]) -> pages.Line:
        found = [(float(step.head), value(step)) for step in curve.steps]
        return pages.Line(name, [(x, y) for x, y in found if y is not None])

    def chart(title: str, unit: str, *lines: pages.Line, limits: Mapping[str, float] | None = None) -> pages.Chart:
        return pages.Chart(title, lines, unit=unit, over="series", logarithmic=True, limits=limits or {})

    return {
        "scale-resources": [
            chart(
                "Memory",
                "MiB",
                line("peak", lambda step: step.peak / MIB),
                line("resident", lambda step: step.resident / MIB),
            ),
            chart(
                "Processor",
                "cores",
                line("with rules", lambda step: step.ruled.cores),
                line("without", lambda step: step.unruled.cores if step.unruled else None),
            ),
        ],
        "scale-rules": [
            chart(
                "The slowest evaluation's share of its interval",
                "share",
                line("deployed", lambda step: step.ruled.slowest.share),
                *(
                    [line(curve.collection, lambda step: step.beside.slowest.share if step.beside else None)]
                    if any(step.beside for step in curve.steps)
                    else []
                ),
                limits={"bound": SHARE},
            )
        ],
    }
