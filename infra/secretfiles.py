"""Secrets of a stack on Docker: files mode 0600 below .secrets/<stack>, never values in a description.

A value comes from its environment variable, else from the dev default, else it is generated once and
kept. Each workload gets its own copy, owned by the workload's user, so that the mode can stay 0600.
"""

import os
import secrets as random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InputError
from infra.settings import ROOT, Settings
from infra.workload import SecretFile, Workload


@dataclass(frozen=True)
class Secret:
    """Where a secret's value comes from. No `default` means: generated once, 32 random bytes."""

    env: str
    default: str | None = None


def known(settings: Settings) -> dict[str, Secret]:
    """Every secret of the stack by name."""
    inbox = "http://inbox:8025" if settings.inbox else None
    return {
        "postgres-password": Secret("POSTGRES_PASSWORD"),
        "redis-password": Secret("REDIS_PASSWORD"),
        "rabbitmq-password": Secret("RABBITMQ_PASSWORD"),
        # The specification's sign-in for dev.
        "grafana-admin-password": Secret("GRAFANA_ADMIN_PASSWORD", "admin"),
        "slack-webhook-url": Secret("SLACK_WEBHOOK_URL", inbox and f"{inbox}/slack"),
        "pagerduty-service-key": Secret("PAGERDUTY_SERVICE_KEY", inbox and "inbox"),
        # The address often carries a token, so it is kept like one.
        "heartbeat-url": Secret("HEARTBEAT_URL", settings.heartbeat_url or (inbox and f"{inbox}/heartbeat/watchdog")),
        "smtp-password": Secret("SMTP_PASSWORD", None if settings.smtp_username else ""),
    }


# Others' secrets, which nothing here could make up, with the setting that asks for each.
GIVEN = {
    "slack-webhook-url": "inbox is false",
    "pagerduty-service-key": "inbox is false",
    "heartbeat-url": "inbox is false",
    "smtp-password": "smtpUsername is set",
}


def path_of(stack: str, workload: Workload, file: SecretFile, root: Path = ROOT) -> Path:
    """Where the workload's copy stands on this machine."""
    return root / ".secrets" / stack / workload.name / Path(file.path).name


def check(settings: Settings, workloads: Iterable[Workload], environ: Mapping[str, str] = os.environ) -> None:
    """Raise InputError for a secret that nothing can supply: nothing stands in for it, and no variable is set."""
    catalog = known(settings)
    for workload in workloads:
        for file in workload.secret_files:
            secret = catalog[file.secret]
            if file.secret in GIVEN and secret.default is None and not environ.get(secret.env):
                raise InputError(
                    f"secret {file.secret}: missing, {workload.name} needs it when monitoring:{GIVEN[file.secret]}; "
                    f"set it with `export {secret.env}=...`."
                )


def write(
    stack: str,
    settings: Settings,
    workloads: Iterable[Workload],
    root: Path = ROOT,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Write every workload's secret files; an unchanged one is left alone."""
    base = root / ".secrets" / stack
    base.mkdir(parents=True, exist_ok=True)
    for directory in (base.parent, base):
        directory.chmod(0o700)
    values = {name: _value(base, name, secret, environ) for name, secret in known(settings).items()}
    for workload in workloads:
        for file in workload.secret_files:
            path = path_of(stack, workload, file, root)
            path.parent.mkdir(exist_ok=True)
            _write_private(path, file.form.format(values[file.secret]), workload)


def _value(base: Path, name: str, secret: Secret, environ: Mapping[str, str]) -> str:
    if environ.get(secret.env):
        return environ[secret.env]
    if secret.default is not None:
        return secret.default
    kept = base / f"{name}.value"
    if not kept.exists():
        _write_private(kept, random.token_urlsafe(32), None)
    return kept.read_text()


def _write_private(path: Path, text: str, owner: Workload | None) -> None:
    if path.exists() and path.read_text() == text:
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
