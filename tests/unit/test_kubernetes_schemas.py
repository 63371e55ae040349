"""Every object is one that Kubernetes knows, from the oldest supported release to the newest."""

import copy
import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT
from infra.targets.kubernetes import Manifest, name_of
from operate import tools
from tests.conftest import Figure
from tests.unit.manifests import STACKS, declare, declared

OLDEST = (1, 28)
# The form in which kubeconform looks for a schema: release, strictness, kind, group and version.
LOCATION = "{{.NormalizedKubernetesVersion}}{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json"
DEFINITION = re.compile(r'#/\$defs/([^"]+)"')

Schemas = dict[str, Path]


def everything() -> list[Manifest]:
    """The objects of both stacks, with the pinned images and with those that this machine has."""
    stacks = [*map(declared, STACKS), declare("staging", images="auto")]
    found = {json.dumps(item, sort_keys=True): item for each in stacks for item in each.objects}
    return [{**item, **({"data": _short(item["data"])} if "data" in item else {})} for item in found.values()]


def _short(files: dict[str, Any]) -> dict[str, Any]:
    """Of a file a schema says no more than that it is text, and a megabyte of it takes long to read ten times."""
    return {key: text[:80] if isinstance(text, str) else text for key, text in files.items()}


def file_name(item: Manifest) -> str:
    group, _, version = item["apiVersion"].rpartition("/")
    return "-".join(filter(None, [item["kind"].lower(), group.split(".")[0], version])) + ".json"


def without_descriptions(found: dict[str, Any]) -> dict[str, Any]:
    """Half of a schema is prose, which kubeconform would parse once for each kind."""
    return {key: value for key, value in found.items() if key != "description" or not isinstance(value, str)}


def lay_out(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy the schemas `names` with the definitions that they need.

    The package's own files refer to their definitions by an address on the web; here they are beside them.
    """
    target.mkdir()
    wanted: list[str] = []
    for name in names:
        schema = json.loads((source / name).read_text(), object_hook=without_descriptions)
        del schema["$id"]
        text = json.dumps(schema).replace("/api/_definitions.json", "_definitions.json")
        (target / name).write_text(text)
        wanted += DEFINITION.findall(text)
    whole = json.loads((source / "_definitions.json").read_text(), object_hook=without_descriptions)
    kept: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = whole["$defs"][name]
            wanted += DEFINITION.findall(json.dumps(kept[name]))
    (target / "_definitions.json").write_text(json.dumps({**whole, "$defs": kept}))


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    """The folder that kubeconform is given, by each release whose schemas are at hand."""
    folder = tmp_path_factory.mktemp("schemas")
    names = {file_name(item) for item in everything()}
    found = {}
    with resources.as_file(resources.files("kubernetes_validate") / "kubernetes-json-schema") as package:
        for source in package.glob("v*-local-strict"):
            release = source.name.removeprefix("v").removesuffix("-local-strict")
            if tuple(map(int, release.split(".")[:2])) >= OLDEST:
                lay_out(source, folder / f"v{release}-strict", names)
                found[release] = folder
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def kubeconform(release: str, folder: Path, items: Sequence[Manifest]) -> list[str]:
    """What kubeconform says against objects, empty when all are valid."""
    done = subprocess.run(
        [
            # One worker: each compiles every schema for itself.
            *(str(tools.ensure("kubeconform")), "-strict", "-output", "json", "-summary", "-n", "1"),
            *("-kubernetes-version", release, "-schema-location", f"{folder}/{LOCATION}", "-"),
        ],
        input="\n---\n".join(map(json.dumps, items)),
        capture_output=True,
        text=True,
        check=False,
    )
    answer = json.loads(done.stdout)
    said = [f"{release}: {each['kind']} {each['name']}: {each['msg']}" for each in answer.get("resources", [])]
    assert bool(said) == bool(done.returncode), done.stderr
    assert said or answer["summary"]["valid"] == len(items), answer["summary"]
    return said


def test_every_object_is_valid_for_each_release(schemas: Schemas, figure: Figure) -> None:
    items = everything()
    assert {"Ingress", "StatefulSet", "NetworkPolicy"} <= {item["kind"] for item in items}
    tools.ensure("kubeconform")
    with ThreadPoolExecutor(2) as pool:
        said = [
            line for found in pool.map(lambda each: kubeconform(each, schemas[each], items), schemas) for line in found
        ]
    assert said == []
    assert next(iter(schemas)).startswith("1.28.")
    figure(f"kubeconform -strict: {len(items)} objects valid for Kubernetes {', '.join(schemas)}")


@pytest.mark.parametrize(
    ("path", "words"),
    [(("spec", "template", "spec"), "hostNetwrk"), (("metadata",), "namespaces"), (("spec",), "replica")],
)
def test_a_field_that_no_release_knows_is_found(schemas: Schemas, path: tuple[str, ...], words: str) -> None:
    wrong = copy.deepcopy(declared("prod").one("StatefulSet", "prometheus"))
    place = wrong
    for step in path:
        place = place[step]
    place[words] = 1
    for release in (next(iter(schemas)), list(schemas)[-1]):
        (said,) = kubeconform(release, schemas[release], [wrong])
        assert words in said


def test_every_object_has_a_name_of_its_own_and_a_namespace_where_it_needs_one() -> None:
    clusterwide = {"Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass"}
    for name in STACKS:
        names = [name_of(item) for item in declared(name).objects]
        assert len(names) == len(set(names))
        for item in declared(name).objects:
            assert ("namespace" in item["metadata"]) == (item["kind"] not in clusterwide), name_of(item)


def test_the_checker_is_the_release_that_is_pinned() -> None:
    said = subprocess.run([tools.ensure("kubeconform"), "-v"], capture_output=True, text=True, check=True).stdout
    module = (ROOT / "images/kubeconform/go.mod").read_text()
    assert f"github.com/yannh/kubeconform {said.strip()} " in module
