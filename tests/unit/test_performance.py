"""docs/PERFORMANCE.md: as its figures say, and each figure with its method."""

import json
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.settings import ROOT
from operate import bench
from operate.bench import page, report
from operate.bench.figures import Costly, Curve, Group, Machine, Page, Restart, Scrapes, Step, Window
from operate.documents import performance
from operate.documents.performance import Part

MACHINE = Machine(cores=2, processor="Some CPU", memory=8 * 2**30, day="2026-11-29")


def window(cores: float, worst: float, missed: int = 0) -> Window:
    groups = (
        Group(name="fast", interval=5, rules=2, evaluations=24, mean=0.01, worst=worst, missed=missed),
        Group(name="slow", interval=60, rules=3, evaluations=2, mean=0.6, worst=0.9, missed=0),
    )
    costly = (Costly(group="slow", rule="a:b:c", seconds=0.5),)
    return Window(
        seconds=120,
        samples=700.4,
        cores=cores,
        exchange=0.01,
        others=0.5,
        rules=5,
        alerts=3,
        groups=groups,
        costly=costly,
    )


def step(wanted: int, worst: float = 0.02, missed: int = 0, lost: int = 0) -> Step:
    return Step(
        wanted=wanted,
        services=15,
        instances=2,
        targets=40,
        scraped=wanted - 100,
        head=wanted + 1000,
        resident=100 * 2**20,
        peak=120 * 2**20,
        firing=0,
        ruled=window(0.1, worst, missed),
        unruled=window(0.04, 0.0),
        beside=window(0.3, 3.0),
        scrapes=Scrapes(median=0.001, worst=0.02, interval=15.01, lost=lost),
        restart=Restart(ready=0.9, replayed=0.3, evaluated=5.0, log=2**20),
        pages=(Page(dashboard="system-health", queries=26, seconds=0.37, instant=0.02, range=0.05),),
    )


CURVE = Curve(machine=MACHINE, collection="a collection", steps=(step(10_000), step(30_000)))


def test_the_document_is_what_the_writer_makes_of_the_figures(tmp_path: Path) -> None:
    part = Part(
        title="Memory",
        method=("A process is looked at.", "Twice."),
        columns=("series", "MiB", "who"),
        rows=((10_000, 0.5, "a|b"), (1_200_000, None, "c")),
        notes=("So be it.",),
        machine="2 cores",
        day="2026-11-29",
    )
    performance.save(tmp_path, {"alpha": part, "scale-resources": part.model_copy(update={"title": "First"})})
    text = performance.text(tmp_path)
    assert text.endswith(
        "\n## Memory\n\nMeasured 2026-11-29 on 2 cores. A process is looked at. Twice.\n\n"
        "| series | MiB | who |\n|--:|--:|---|\n| 10,000 | 0.5 | a\\|b |\n| 1,200,000 |  | c |\n\nSo be it.\n"
    )
    assert text.index("## First") < text.index("## Memory"), "known parts come in the order of reading"
    assert performance.load(tmp_path)["alpha"] == part


def test_every_figure_has_its_method() -> None:
    found = performance.load(ROOT)
    assert found, "no benchmark has written figures"
    for name, part in found.items():
        assert all(sentence.endswith(".") for sentence in part.method), name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"method": []}, "method"),
        ({"rows": [[1, 2]]}, "a row has 2 cells for the columns a"),
        ({"titel": "x"}, "titel"),
    ],
)
def test_a_wrong_file_of_figures_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    folder = tmp_path / performance.FOLDER
    folder.mkdir(parents=True)
    right = {"title": "T", "method": ["M."], "columns": ["a"], "rows": [[1]]}
    (folder / "x.json").write_text(json.dumps({**right, **change}))
    with pytest.raises(InputError) as refused:
        performance.load(tmp_path)
    assert str(refused.value).startswith("docs/performance/x.json: ")
    assert reason in str(refused.value)


def test_all_that_was_measured_is_in_a_part() -> None:
    parts = report.parts(CURVE)
    assert set(parts) == {name for name in performance.ORDER if name.startswith("scale-")}
    rows = {name: part.rows for name, part in parts.items()}
    assert rows["scale-resources"][0] == (
        11_000, 9_900, "15 x 2", 40, 700, 100, 120, 11.2, 0.1, 0.04, 0.01, 0.5
    )  # fmt: skip
    assert rows["scale-rules"][1] == (31_000, 5, 3, 0.012, "slow", 0.9, 60, "1.5%", 0)
    assert rows["scale-groups"][0] == ("slow", 3, 60, "600.0 (900.0)", "600.0 (900.0)")
    assert rows["scale-beside"][1] == (11_000, "a collection", 0.3, 5, 3, 0.012, "fast", 3.0, 5, "60.0%", 0)
    assert rows["scale-restart"][0] == (11_000, 1, 0.3, 0.9, 5.0)
    assert rows["scale-dashboards"] == (("system-health", 26, "0.37 (0.02, 0.05)", "0.37 (0.02, 0.05)"),)
    assert rows["scale-costly"] == (("slow", "a:b:c", 500.0),)
    assert rows["scale-scrapes"][0] == (11_000, 40, 1.0, 20.0, 15.01, 0)
    assert all(part.machine == "2 cores of Some CPU with 8 GiB" and part.day == MACHINE.day for part in parts.values())


def test_a_bound_that_does_not_hold_is_said_everywhere() -> None:
    assert not step(10_000, worst=2.4).beyond()
    assert step(10_000, worst=2.5, missed=3, lost=7).beyond() == [
        "10,000 series: group fast took 2.50 s of its 5 s, which is not under 50%",
        "10,000 series: 3 evaluations of rules were missed",
        "10,000 series: 7 scrapes failed or are missing",
    ]
    curve = CURVE.with_step(step(10_000, worst=2.5))
    assert len(curve.steps) == 2, "a size that is measured again replaces what there was"
    assert any("group fast" in note for note in report.parts(curve)["scale-rules"].notes)
    assert report.parts(curve)["scale-rules"].notes[-1].endswith(" within all bounds: 31,000 series.")
    assert "group fast" in page.page("T", curve, report.parts(curve)).verdict
    assert page.page("T", CURVE, report.parts(CURVE)).verdict == "Every bound holds at every size that was measured."


def test_a_size_without_the_whole_course_has_the_parts_it_can() -> None:
    short = step(10_000).model_copy(update={"unruled": None, "beside": None, "restart": None, "pages": ()})
    parts = report.parts(Curve(machine=MACHINE, steps=(short,)))
    assert set(parts) == {"scale-resources", "scale-rules", "scale-groups", "scale-costly", "scale-scrapes"}
    assert parts["scale-resources"].rows[0][9] is None


def test_figures_are_kept_whole() -> None:
    kept = bench.Figures(curve=CURVE, others={"at-rest": Part(title="T", method=("M.",), columns=("a",), rows=((1,),))})
    assert bench.Figures.model_validate_json(kept.model_dump_json()) == kept
    assert set(kept.parts) == {*report.parts(CURVE), "at-rest"}
