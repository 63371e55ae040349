"""Secrets of a stack on Docker: files mode 0600 below .secrets/<stack>, never values in a description.

What nobody gives is generated once and kept. Each workload gets its own copy, owned by the workload's
user, so that the mode can stay 0600.
"""

import os
import re
import secrets as random
from collections.abc import Iterable, Mapping
from pathlib import Path

from infra import credentials
from infra.errors import InputError
from infra.settings import ROOT
from infra.stack import Stack
from infra.workload import SecretFile, Workload


def path_of(stack: str, workload: Workload, file: SecretFile, root: Path = ROOT) -> Path:
    """Where the workload's copy stands on this machine."""
    return root / ".secrets" / stack / workload.name / Path(file.path).name


def write(stack: Stack, workloads: Iterable[Workload], environ: Mapping[str, str] = os.environ) -> None:
    """Write every workload's secret files; an unchanged one is left alone.

    Raises InputError before anything is written where a value that was kept is damaged.
    """
    base = stack.root / ".secrets" / stack.name
    for kept in sorted(base.glob("*.value")):
        _kept(kept)
    base.mkdir(parents=True, exist_ok=True)
    for directory in (base.parent, base):
        directory.chmod(0o700)
    values = credentials.given(stack.settings, {}, environ, stack.made_secrets)
    for workload in workloads:
        for file in workload.secret_files:
            value = values.get(file.secret)
            path = path_of(stack.name, workload, file, stack.root)
            path.parent.mkdir(exist_ok=True)
            _write_private(path, file.form.format(_generated(base, file.secret) if value is None else value), workload)


def _generated(base: Path, name: str) -> str:
    kept = base / f"{name}.value"
    if not kept.exists():
        _write_private(kept, random.token_urlsafe(32), None)
    return _kept(kept)


def _kept(path: Path) -> str:
    """A generated value. Raises InputError where the file holds something else."""
    try:
        value = path.read_text()
    except (OSError, UnicodeDecodeError):
        value = ""
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        place = "/".join(path.parts[-3:])
        raise InputError(
            f"{place}: is damaged, and what runs was set up with the value that it held; restore it, or drop it "
            "with the data that it protects: `make down PURGE=1`."
        )
    return value


def _write_private(path: Path, text: str, owner: Workload | None) -> None:
    if path.exists() and path.read_bytes() == text.encode():
        return
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    if owner is None:
        return
    if os.geteuid() == 0:
        os.chown(path, owner.security.user, owner.security.group)
    elif os.geteuid() != owner.security.user:
        # Only root can give a file away. The directory above stays 0700, so no other user reaches it.
        path.chmod(0o644)
