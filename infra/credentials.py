"""The platform's secrets: where each value comes from, what follows from it, and what is missing."""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import bcrypt
from pydantic.alias_generators import to_camel

from infra.errors import InputError
from infra.settings import NAMESPACE, Settings
from infra.workload import Workload


@dataclass(frozen=True)
class Secret:
    """A secret's environment variable, and what stands in for it. No `default` on Docker: generated once.

    `asked_for` says, of another party's secret that nothing could make up, which setting asks for it.
    """

    env: str
    default: str | None = None
    asked_for: str = ""


_VARIABLES = {
    "postgres-password": "POSTGRES_PASSWORD",
    "redis-password": "REDIS_PASSWORD",
    "rabbitmq-password": "RABBITMQ_PASSWORD",
    "grafana-admin-password": "GRAFANA_ADMIN_PASSWORD",
    "slack-webhook-url": "SLACK_WEBHOOK_URL",
    "pagerduty-service-key": "PAGERDUTY_SERVICE_KEY",
    # The address often carries a token, so it is kept like one.
    "heartbeat-url": "HEARTBEAT_URL",
    "smtp-password": "SMTP_PASSWORD",
    "web-password": "WEB_PASSWORD",
    # What the playbook gave the bare hosts the hash of.
    "node-exporter-password": "NODE_EXPORTER_PASSWORD",
}


def known(settings: Settings) -> dict[str, Secret]:
    """Every secret of the stack by name."""
    inbox = "http://inbox:8025" if settings.inbox else None
    no_inbox = "monitoring:inbox is false"
    # Default, and the setting that asks for it.
    otherwise: dict[str, tuple[str | None, str]] = {
        # The specification's sign-in for dev.
        "grafana-admin-password": ("admin" if settings.target == "docker" else None, ""),
        "slack-webhook-url": (inbox and f"{inbox}/slack", no_inbox),
        "pagerduty-service-key": (inbox and "inbox", no_inbox),
        "heartbeat-url": (settings.heartbeat_url or (inbox and f"{inbox}/heartbeat/watchdog"), no_inbox),
        "node-exporter-password": (None, "monitoring:inventory is set"),
        "smtp-password": (None if settings.smtp_username else "", "monitoring:smtpUsername is set"),
    }
    return {name: Secret(variable, *otherwise.get(name, ())) for name, variable in _VARIABLES.items()}


def config_key(name: str) -> str:
    """The secret's key in the stack's configuration: slackWebhookUrl for slack-webhook-url."""
    return to_camel(name.replace("-", "_"))


# The keys that `pulumi config set --secret` may give. heartbeatUrl is a setting too, and stays one.
CONFIG_KEYS = {config_key(name) for name in _VARIABLES} - {"heartbeatUrl"}


def given(
    settings: Settings,
    configured: Mapping[str, str],
    environ: Mapping[str, str] = os.environ,
    made: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The values at hand by name: from the environment, else the stack's configuration, else `made`, else the default.

    `made` is what other commands of this project made up and left on this machine.
    """
    found = {}
    for name, secret in known(settings).items():
        value = environ.get(secret.env) or configured.get(config_key(name)) or made.get(name) or secret.default
        if value is not None:
            found[name] = value
    return found


# Passwords of data stores stand in files of their tools' own syntax, where quotes, blanks, colons or # would end them.
_STORED = (r"[A-Za-z0-9._~!*+,/=@%^-]+", "may hold letters, digits and ._~!*+,/=@%^- only")
_FORMS = (
    *((f"{store}-password", *_STORED) for store in ("postgres", "redis", "rabbitmq")),
    # bcrypt reads 72 bytes, and an HTTP sign-in ends the user's name at the colon.
    *(
        (f"{name}-password", r"[\x21-\x7e]{8,72}", "is 8 to 72 printable ASCII characters without a blank")
        for name in ("web", "node-exporter")
    ),
)


def check(settings: Settings, workloads: Iterable[Workload], values: Mapping[str, str], stack: str) -> None:
    """Raise InputError for a secret that a workload needs and nothing supplies.

    On Docker our own are generated, so only other parties' can be missing.
    """
    catalog = known(settings)
    for name, pattern, rule in _FORMS:
        if name in values and not re.fullmatch(pattern, values[name]):
            raise InputError(f"secret {name}: {rule}; set another with `export {catalog[name].env}=...`.")
    for workload in workloads:
        for file in workload.secret_files:
            name = source_of(file.secret)
            secret = catalog[name]
            if name in values or (settings.target == "docker" and not secret.asked_for):
                continue
            when = f" when {secret.asked_for}" if secret.asked_for else ""
            with_pulumi = f"`pulumi config set --secret {NAMESPACE}:{config_key(name)} --stack {stack}` or "
            raise InputError(
                f"secret {name}: missing, {workload.name} needs it{when}; "
                f"set it with {with_pulumi if settings.target == 'kubernetes' else ''}`export {secret.env}=...`."
            )


# What follows from another secret, so that no person has to keep two of them in step.
_DERIVED = {"web-password-hash": "web-password", "web-authorization": "web-password"}


def source_of(name: str) -> str:
    """The secret that somebody gives, for one that follows from it; any other is its own source."""
    return _DERIVED.get(name, name)


def derived(settings: Settings, values: Mapping[str, str]) -> dict[str, str]:
    """`values` and what follows from them: the bcrypt hash of the web password, and its HTTP Basic credentials."""
    found = dict(values)
    if password := values.get("web-password"):
        found["web-password-hash"] = _bcrypt(password, f"{settings.environment}/{settings.web_user}")
        found["web-authorization"] = base64.b64encode(f"{settings.web_user}:{password}".encode()).decode()
    return found


def _bcrypt(password: str, context: str) -> str:
    """The same hash for the same password, or each preview would show a change.

    bcrypt's salt comes from the password through scrypt (RFC 7914, 32 MiB), so that testing a guess by the
    salt costs no less than testing it by the hash.
    """
    raw = hashlib.scrypt(
        password.encode(), salt=f"mycrypto/{context}".encode(), n=2**15, r=8, p=1, dklen=16, maxmem=2**26
    )
    # bcrypt writes base64 with an alphabet of its own; 16 bytes are 22 characters.
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    own = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    salt = base64.b64encode(raw).rstrip(b"=").translate(bytes.maketrans(plain, own))
    return bcrypt.hashpw(password.encode(), b"$2b$10$" + salt).decode()
