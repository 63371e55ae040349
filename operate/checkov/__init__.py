"""checkov's Kubernetes checks on what the program declares for a stack, less the exceptions of configs/checkov.yaml."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra import documents, render
from infra.errors import InputError, first_failure, read_yaml
from infra.settings import ROOT
from infra.targets.kubernetes import Manifest, manifests, name_of
from operate.checkov import environment
from policies.resources import WORKLOADS

EXCEPTIONS = "configs/checkov.yaml"

_Text = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Excepted(_Model):
    """A check that does not hold for some resources, and why. A resource is Kind/namespace/name; `*` is any text."""

    check: Annotated[str, Field(pattern=r"^CKV2?_K8S_\d+$")]
    resources: Annotated[tuple[_Text, ...], Field(min_length=1)]
    reason: _Text


class _File(_Model):
    exceptions: tuple[Excepted, ...]


@dataclass(frozen=True)
class Looked:
    """What checkov said: (check, resource) to the check's name, for those that failed and those that passed."""

    failed: dict[tuple[str, str], str]
    passed: dict[tuple[str, str], str]


def findings(stack: str) -> list[str]:
    """What checkov finds in a stack's manifests and nothing excepts, and exceptions without a finding.

    Nothing for a stack on Docker. Raises InputError, and BuildError where checkov cannot be installed.
    """
    declared = [(resource.type, resource.name, resource.inputs) for resource in render.resources(stack)]
    if not any(token.startswith("kubernetes:") for token, _, _ in declared):
        return []
    objects = [item for items in manifests.files(declared).values() for item in items]
    return judge(look(objects), exceptions())


def exceptions(root: Path = ROOT) -> tuple[Excepted, ...]:
    """The exceptions of configs/checkov.yaml. Raises InputError."""
    try:
        return _File.model_validate(read_yaml(root / EXCEPTIONS, root)).exceptions
    except ValidationError as error:
        raise InputError(first_failure(EXCEPTIONS, error)) from None


def judge(looked: Looked, excepted: Sequence[Excepted]) -> list[str]:
    """A sentence for each finding that nothing excepts, and for each exception whose resources all pass.

    An exception for what this stack does not declare says nothing about this stack.
    """
    found = [
        f"{check}: {resource}: {what}; mend it, or except it with its reason in {EXCEPTIONS}"
        for (check, resource), what in sorted(looked.failed.items())
        if not any(
            each.check == check and _matches(pattern, resource) for each in excepted for pattern in each.resources
        )
    ]
    for each in excepted:
        for pattern in each.resources:
            failed, passed = (
                any(check == each.check and _matches(pattern, resource) for check, resource in results)
                for results in (looked.failed, looked.passed)
            )
            if passed and not failed:
                found.append(f"{each.check}: {pattern}: passes; take its exception out of {EXCEPTIONS}")
    return found


def look(objects: Sequence[Manifest]) -> Looked:
    """Run all Kubernetes checks on manifests, offline. Raises InputError where checkov did not look at a workload."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "manifests").mkdir()
        (place / "manifests/all.yaml").write_text(documents.dump(*objects))
        results = _run(place)
    passed, failed, skipped = (_by_resource(results[f"{kind}_checks"]) for kind in ("passed", "failed", "skipped"))
    seen = {resource for _, resource in passed | failed | skipped}
    unseen = [name for name in map(name_of, objects) if name.split("/")[0] in WORKLOADS and name not in seen]
    if unseen:
        # It passes over a file that it cannot read without a word.
        raise InputError(
            f"checkov did not look at {', '.join(unseen)}; correct these manifests, or its pinned version."
        )
    # What an annotation skips counts: the exceptions stand in one file.
    return Looked(failed | skipped, passed)


def _run(place: Path) -> dict[str, list[dict[str, Any]]]:
    done = subprocess.run(
        [
            *(str(environment.python()), "-m", "checkov.main", "--framework", "kubernetes", "--skip-download"),
            *("--compact", "--output", "json", "--directory", "manifests"),
        ],
        cwd=place,
        # Nothing else: its settings may also stand in the environment and in the user's home.
        env={"PATH": os.environ["PATH"], "HOME": str(place), "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise InputError(f"checkov failed ({''.join(words)}); see operate/checkov/requirements.in for its version.")
    results = json.loads(done.stdout).get("results", {})
    return {kind: results.get(kind, []) for kind in ("passed_checks", "failed_checks", "skipped_checks")}


def _by_resource(checks: Sequence[dict[str, Any]]) -> dict[tuple[str, str], str]:
    return {(each["check_id"], _resource(each["resource"])): each["check_name"] for each in checks}


def _resource(words: str) -> str:
    """Kind/namespace/name of what checkov calls Kind.namespace.name."""
    kind, namespace, name = words.split(".", 2)
    # A workload's pods have its name and all their labels, in any order.
    return f"{kind}/{namespace}/{name.partition('.')[0] if kind == 'Pod' else name}"


def _matches(pattern: str, resource: str) -> bool:
    return fnmatchcase(resource, pattern)
