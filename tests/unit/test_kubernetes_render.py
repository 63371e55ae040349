"""What render writes is what the engine would deploy, in an order that a cluster takes, and holds no secret."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra import checks, credentials, documents, render, settings
from infra.errors import InputError
from infra.settings import ROOT
from infra.targets.kubernetes import config, manifests, name_of
from tests.unit.manifests import STACKS, Declared, declare, declared, references

# By the environment variable. Nothing of these may be written anywhere.
MARKERS = {
    secret.env: f"//marker.invalid/{number}-kept-from-the-render"
    for number, secret in enumerate(credentials.known(declared("prod").stack.settings).values())
}


@dataclass(frozen=True)
class Written:
    """What one render left below its folder."""

    stack: str
    root: Path
    files: dict[str, str]

    @property
    def declared(self) -> Declared:
        """What was to be written."""
        return declare(self.stack, self.root, environ=MARKERS)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Every object, in the order in which `kubectl apply -f` of the folder meets them."""
        names = sorted(name for name in self.files if re.fullmatch(r"[^/]+\.(yaml|yml|json)", name))
        return [item for name in names for item in documents.load_all(self.files[name])]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Written]]:
    """Each stack's render, with every secret in the environment."""
    root = tmp_path_factory.mktemp("project")
    for path in (ROOT / "configs", *ROOT.glob("Pulumi*.yaml")):
        (root / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in MARKERS.items():
            patch.setenv(name, value)
        # promtool has its own tests; a render in its own sandbox has nothing to fear.
        patch.setattr(checks, "find", lambda _tool, _version: None)
        found = {}
        for name in (*STACKS, "dev"):
            paths = render.write(name, {"images": "registry"}, root)
            folder = root / ".render" / name
            files = {str(path.relative_to(folder)): path.read_text() for path in paths}
            found[name] = Written(name, root, files)
        yield found


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_written_is_what_is_declared_object_by_object(written: dict[str, Written], stack: str) -> None:
    found = {name_of(item): item for item in written[stack].documents}
    wanted = {name_of(item): item for item in written[stack].declared.objects}
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert len(written[stack].documents) == len(wanted)


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_applied_before_what_it_needs(written: dict[str, Written], stack: str) -> None:
    documents = written[stack].documents
    kinds = [item["kind"] for item in documents]
    assert set(kinds[: kinds.count("Namespace")]) == {"Namespace"}
    there = {line for line in written[stack].files["secrets.txt"].split() if "/" in line}
    known = {f"Secret/{line}" for line in there} | {"Namespace/exchange"}
    for item in documents:
        missing = [name for name in references(item) if name not in known]
        assert missing == [], name_of(item)
        known.add(name_of(item))


@pytest.mark.parametrize("stack", STACKS)
def test_every_mounted_key_is_in_its_object(written: dict[str, Written], stack: str) -> None:
    found = written[stack].declared
    keys = {name_of(item): set(item["data"]) for item in found.every("ConfigMap")}
    for namespace, name, wanted in config.wanted_secrets(found.stack, found.workloads):
        keys[f"Secret/{namespace}/{name}"] = set(wanted)
    mounted = 0
    for item in found.every("StatefulSet", "Deployment", "DaemonSet"):
        for volume in item["spec"]["template"]["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", []):
                ((kind, body),) = ((kind, body) for kind, body in source.items())
                place = f"{ {'configMap': 'ConfigMap', 'secret': 'Secret'}[kind] }/{item['metadata']['namespace']}"
                assert {each["key"] for each in body["items"]} <= keys[f"{place}/{body['name']}"], volume["name"]
                mounted += len(body["items"])
    assert mounted > 30


@pytest.mark.parametrize("stack", STACKS)
def test_the_secrets_to_create_are_named_with_their_variables(written: dict[str, Written], stack: str) -> None:
    found, text = written[stack].declared, written[stack].files["secrets.txt"]
    assert f"make secrets STACK={stack}" in text
    assert "Secret" not in {item["kind"] for item in written[stack].documents}
    known = credentials.known(found.stack.settings)
    for file in (file for workload in found.workloads for file in workload.secret_files):
        assert f"from {known[credentials.source_of(file.secret)].env}\n" in text, file
    assert f"monitoring/{found.stack.settings.tls_secret} (kubernetes.io/tls)" in text


def encoded(value: str) -> set[str]:
    """The value, and what is left of it in base64 wherever it stands in the encoded text."""
    found = {value}
    for before in range(3):
        whole = base64.b64encode(b"x" * before + value.encode()).decode()
        # The outermost digits depend on what stands beside it.
        found.add(whole[4 if before else 0 : -4])
    return found


def test_no_secret_is_written_in_any_form(written: dict[str, Written]) -> None:
    for stack, each in written.items():
        values = {env: {value} for env, value in MARKERS.items()}
        current = settings.load(stack)
        whole = credentials.derived(current, credentials.given(current, {}, MARKERS))
        values["WEB_PASSWORD"] |= {text for name, text in whole.items() if name.startswith("web-")}
        for file, text in each.files.items():
            assert not re.search(r"\$2[aby]\$\d\d\$", text), (stack, file)
            for env, forms in values.items():
                assert not [form for form in forms for part in encoded(form) if part in text], (stack, file, env)


def test_a_planted_secret_would_be_found() -> None:
    secret = MARKERS["WEB_PASSWORD"]
    for text in (secret, f"Basic {base64.b64encode(f'monitoring:{secret}'.encode()).decode()}"):
        assert any(part in text for part in encoded(secret))


def test_render_refuses_an_object_that_no_file_takes() -> None:
    with pytest.raises(InputError, match=r"render: Job has no file; add it to infra/targets/kubernetes/"):
        manifests.files([("kubernetes:batch/v1:Job", "x", {"kind": "Job"})])
