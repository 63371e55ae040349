"""The cluster a stack is deployed to: whether it answers, and has what the settings name."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from infra.errors import InputError
from infra.settings import Settings

TIMEOUT = 4  # seconds for one answer; several are asked for within the promised 10


def client(settings: Settings) -> Any:
    """An API client of the context that the settings name. Raises InputError where no cluster answers."""
    # A second of import that stacks on Docker need not wait for.
    from kubernetes import client as api  # noqa: PLC0415
    from kubernetes import config  # noqa: PLC0415

    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            context=settings.kube_context or None
        )
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        place = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")
        # The client's own words for YAML that is something else are those of a bug.
        words = "is no kubeconfig" if isinstance(error, TypeError) else " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"kubeconfig {place}: {words}; name yours with `export KUBECONFIG=...`, and its context with "
            "monitoring:kubeContext."
        ) from None
    chosen = api.Configuration.get_default_copy()
    chosen.retries = False
    connection = api.ApiClient(chosen)
    _asked(connection, api.VersionApi(connection).get_code)
    return connection


def _asked(connection: Any, ask: Callable[..., Any]) -> Any:
    """The cluster's answer. Raises InputError where there is none in time, or a refusal."""
    import urllib3  # noqa: PLC0415
    from kubernetes.client import ApiException  # noqa: PLC0415

    host = connection.configuration.host
    try:
        return ask(_request_timeout=TIMEOUT)
    except (urllib3.exceptions.HTTPError, ApiException) as error:
        if isinstance(error, ApiException) and error.status:
            raise InputError(
                f"the cluster at {host} refuses ({error.status} {error.reason}); sign in again, or ask its owner for "
                "the right to read versions and storage classes."
            ) from None
        reason = str(getattr(error, "reason", None) or error).rpartition(": ")[2]
        raise InputError(
            f"the cluster at {host} does not answer ({reason}); start it, or name another with KUBECONFIG or "
            "monitoring:kubeContext."
        ) from None


def verify(settings: Settings) -> None:
    """Raise InputError when the cluster does not answer, or lacks the storage class."""
    from kubernetes.client import StorageV1Api  # noqa: PLC0415

    connection = client(settings)
    classes = _asked(connection, StorageV1Api(connection).list_storage_class).items
    metadata = {item.metadata.name: item.metadata.annotations or {} for item in classes if item.metadata}
    names = sorted(filter(None, metadata))
    if settings.storage_class and settings.storage_class not in names:
        raise InputError(
            f"monitoring:storageClass: the cluster has no class {settings.storage_class!r}; known: "
            f"{', '.join(names) or 'none'}."
        )
    default = "storageclass.kubernetes.io/is-default-class"
    if not settings.storage_class and not any(marks.get(default) == "true" for marks in metadata.values()):
        raise InputError(
            "monitoring:storageClass: is empty and the cluster has no default class; name one of "
            f"{', '.join(names) or 'none (make one first)'}."
        )
