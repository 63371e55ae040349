"""Run the Pulumi program in process and write what it declares as files.

Uses Pulumi's mock runtime: no engine, no Docker, no cluster, no credentials. `python -m infra.render --stack dev`
writes .render/dev/compose.yaml; for a stack on Kubernetes it writes manifests, and no secret's value.
"""

import argparse
import asyncio
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime.stack
import yaml
from pulumi.runtime import mocks

from infra import assembly, credentials, dashboards, documents, program, settings
from infra.errors import InputError, one_line
from infra.settings import ROOT
from infra.stack import load
from infra.targets import compose
from infra.targets.kubernetes import manifests


@dataclass(frozen=True)
class Resource:
    """A declared resource: its Pulumi type token, its name and its inputs in camelCase."""

    type: str
    name: str
    inputs: dict[str, Any]


class _Capture(mocks.Mocks):
    def __init__(self) -> None:
        self.resources: list[Resource] = []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.resources.append(Resource(args.typ, args.name, _whole(dict(args.inputs))))
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise NotImplementedError(f"the program calls {args.token}; render cannot answer it")


def _whole(value: Any) -> Any:
    """The value with whole numbers as integers: on its way through the engine's protocol each became a float."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def resources(
    stack: str, overrides: dict[str, Any] | None = None, root: Path = ROOT, notes: list[str] | None = None
) -> list[Resource]:
    """The resources the program declares for a stack, in the order of their names.

    `overrides` are settings on top of the stack's file; what the program has to say is added to `notes`.
    Raises InputError for bad input.
    """
    notes = [] if notes is None else notes
    values = _values(stack, overrides, root)
    # Of the types that the file gives them: the engine hands over nothing but strings.
    settings.from_config(values, f"Pulumi.{stack}.yaml", credentials.CONFIG_KEYS)
    capture = _Capture()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    mocks.set_mocks(capture, project=settings.NAMESPACE, stack=stack, preview=True)
    pulumi.runtime.set_all_config({f"{settings.NAMESPACE}:{key}": _handed_over(value) for key, value in values.items()})

    try:
        asyncio.get_event_loop().run_until_complete(
            pulumi.runtime.stack.run_pulumi_func(lambda: program.run(root, notes.append, rendering=True))
        )
    except pulumi.RunError as error:
        raise InputError(str(error)) from None
    return sorted(capture.resources, key=lambda r: (r.type, r.name))


def _handed_over(value: Any) -> str:
    """A setting as the engine passes it to the program."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _values(stack: str, overrides: dict[str, Any] | None, root: Path) -> dict[str, Any]:
    return {**settings.stack_file_values(stack, root), **(overrides or {})}


def files(
    stack: str, overrides: dict[str, Any] | None = None, root: Path = ROOT, notes: list[str] | None = None
) -> dict[str, str]:
    """The text of each file that `write` writes, by its path below .render/<stack>. Raises InputError."""
    values = _values(stack, overrides, root)
    declared = resources(stack, overrides, root, notes)
    current = load(stack, settings.from_config(values, f"Pulumi.{stack}.yaml"), root)
    triples = [(r.type, r.name, r.inputs) for r in declared]
    if current.settings.target == "kubernetes":
        found = {name: _yaml(*objects) for name, objects in manifests.files(triples).items()}
        found["secrets.txt"] = manifests.secrets_wanted(current, assembly.workloads(current))
    else:
        found = {"compose.yaml": _yaml(compose.document(stack, triples))}
    # The dashboards also where there is no image of Grafana.
    return found | {f"dashboards/{page.uid}.json": page.text for page in dashboards.pages(current)}


def write(
    stack: str, overrides: dict[str, Any] | None = None, root: Path = ROOT, notes: list[str] | None = None
) -> list[Path]:
    """Write the stack's files below .render/<stack>, replacing what an earlier run left. Returns them."""
    texts = files(stack, overrides, root, notes)
    directory = root / ".render" / stack
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "dashboards").mkdir(parents=True)
    for name, text in texts.items():
        (directory / name).write_text(text)
    return [directory / name for name in texts]


def _yaml(*objects: dict[str, Any]) -> str:
    return yaml.dump_all(objects, Dumper=documents.Dumper, sort_keys=True, width=160, allow_unicode=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.render", description="Write a stack's resources as files.")
    parser.add_argument("--stack", default="dev", help="the stack to render (default: dev)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting on top of the file")
    arguments = parser.parse_args()
    try:
        overrides = dict(item.split("=", 1) for item in arguments.set)
    except ValueError:
        parser.error("--set takes KEY=VALUE")
    try:
        notes: list[str] = []
        for path in write(arguments.stack, overrides, notes=notes):
            print(path.relative_to(ROOT))
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    except InputError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
