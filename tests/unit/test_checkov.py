"""checkov on the manifests: nothing is left, what is spoiled is found, and no exception outlives its cause."""

import copy
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InputError
from infra.settings import cache_root
from infra.targets.kubernetes import Manifest, name_of
from operate import checkov
from operate.checkov import Excepted, Looked
from tests.unit.manifests import STACKS, declared, sentence

EXPORTER = "Deployment/monitoring/blackbox-exporter"
SPOILED = {
    "privileged": (
        "CKV_K8S_16: Deployment/monitoring",
        lambda item: _container(item)["securityContext"].update(privileged=True),
    ),
    "without-limit": (
        "CKV_K8S_13: Deployment/monitoring",
        lambda item: _container(item)["resources"]["limits"].pop("memory"),
    ),
    "own-exception": (
        "CKV_K8S_22: Deployment/monitoring",
        lambda item: (
            _container(item)["securityContext"].update(readOnlyRootFilesystem=False),
            item["metadata"].update(annotations={"checkov.io/skip1": "CKV_K8S_22=we would rather not"}),
        ),
    ),
}


def _container(item: Manifest) -> dict[str, Any]:
    container: dict[str, Any] = item["spec"]["template"]["spec"]["containers"][0]
    return container


def _exporter(spoil: Callable[[Manifest], object], name: str = "blackbox-exporter") -> Manifest:
    item = copy.deepcopy(declared("prod").one("Deployment", "blackbox-exporter"))
    item["metadata"]["name"] = name
    spoil(item)
    return item


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    """The exporter as it is declared, and once for each thing that is spoiled, by a user with settings of their own."""
    home = tmp_path_factory.mktemp("home")
    (home / ".checkov.yaml").write_text("skip-check: [CKV_K8S_16]\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache_root().parent))
        patch.setenv("HOME", str(home))
        patch.setenv("CKV_SKIP_CHECK", "CKV_K8S_13")
        patch.chdir(home)
        spoiled = [_exporter(spoil, name) for name, (_, spoil) in SPOILED.items()]
        yield checkov.look([_exporter(lambda _: None), *spoiled])


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_found_that_is_not_excepted(stack: str) -> None:
    assert checkov.findings(stack) == []


def test_a_stack_on_docker_has_no_manifests() -> None:
    assert checkov.findings("dev") == []


def test_what_is_spoiled_is_found(looked: Looked) -> None:
    """Whatever annotations, the user's home and the environment say."""
    said = [words.rsplit(": ", 1)[0] for words in checkov.judge(looked, checkov.exceptions())]
    # No network policy is among what it looked at.
    pods = [f"CKV2_K8S_6: Pod/monitoring/{name}" for name in ("blackbox-exporter", *SPOILED)]
    assert sorted(said) == sorted([*(f"{place}/{name}" for name, (place, _) in SPOILED.items()), *pods])


def test_an_exception_is_for_its_own_resource(looked: Looked) -> None:
    before = checkov.judge(looked, checkov.exceptions())
    excepted = Excepted(check="CKV_K8S_16", resources=("*/privileged",), reason="a test")
    (mended,) = set(before) - set(checkov.judge(looked, [*checkov.exceptions(), excepted]))
    assert mended.startswith("CKV_K8S_16: Deployment/monitoring/privileged: ")


def test_an_exception_without_a_finding_is_refused(looked: Looked) -> None:
    excepted = Excepted(check="CKV_K8S_16", resources=("*/privileged", EXPORTER), reason="a test")
    (said,) = set(checkov.judge(looked, [*checkov.exceptions(), excepted])) - set(
        checkov.judge(looked, checkov.exceptions())
    )
    assert said == f"CKV_K8S_16: {EXPORTER}: passes; take its exception out of configs/checkov.yaml"


def test_every_exception_is_for_something_that_is_declared() -> None:
    names = [name_of(item) for stack in STACKS for item in declared(stack).objects]
    patterns = {pattern for each in checkov.exceptions() for pattern in each.resources}
    assert [each for each in patterns if not any(fnmatchcase(name, each) for name in names)] == []


def test_a_manifest_that_checkov_passes_over_is_an_error() -> None:
    """Without an API version it takes the file for something else, and finds nothing."""
    with pytest.raises(InputError, match=f"did not look at {EXPORTER};"):
        checkov.look([_exporter(lambda item: item.pop("apiVersion"))])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("exceptions: [{check: CKV_K8S_16, resources: ['*']}]", "exceptions[0].reason: missing; add it."),
        ("exceptions: [{check: CKV_K8S_16, resources: ['*'], reason: ''}]", "exceptions[0].reason: is ''"),
        ("exceptions: [{check: CKV_K8S_16, resources: [], reason: all}]", "exceptions[0].resources: is []"),
        ("exceptions: [{check: '*', resources: ['*'], reason: all}]", "exceptions[0].check: is '*'"),
    ],
)
def test_an_exception_says_check_resource_and_reason(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/checkov.yaml").write_text(text)
    assert words in sentence(lambda: checkov.exceptions(tmp_path))
