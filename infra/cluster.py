"""The cluster a stack is deployed to: whether it answers, and has what the settings name."""

import os
from pathlib import Path
from typing import Any

from infra.errors import InputError
from infra.settings import Settings

TIMEOUT = 4  # seconds for one answer; several are asked for within the promised 10


def client(settings: Settings) -> Any:
    """An API client of the context that the settings name. Raises InputError without a usable kubeconfig."""
    # A second of import that stacks on Docker need not wait for.
    from kubernetes import client as api  # noqa: PLC0415
    from kubernetes import config  # noqa: PLC0415

    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            context=settings.kube_context or None
        )
    except config.ConfigException as error:
        place = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")
        raise InputError(
            f"kubeconfig {place}: {str(error).rstrip('.')}; name yours with `export KUBECONFIG=...`, and its context "
            "with monitoring:kubeContext."
        ) from None
    chosen = api.Configuration.get_default_copy()
    chosen.retries = False
    return api.ApiClient(chosen)


def verify(settings: Settings) -> None:
    """Raise InputError when the cluster does not answer, or lacks the storage class."""
    import urllib3  # noqa: PLC0415
    from kubernetes import client as api  # noqa: PLC0415

    connection = client(settings)
    host = connection.configuration.host
    try:
        api.VersionApi(connection).get_code(_request_timeout=TIMEOUT)
        classes = api.StorageV1Api(connection).list_storage_class(_request_timeout=TIMEOUT).items
    except urllib3.exceptions.HTTPError as error:
        reason = str(getattr(error, "reason", error)).rpartition(": ")[2]
        raise InputError(
            f"the cluster at {host} does not answer ({reason}); start it, or name another with KUBECONFIG or "
            "monitoring:kubeContext."
        ) from None
    except api.ApiException as error:
        raise InputError(
            f"the cluster at {host} refuses ({error.status} {error.reason}); sign in again, or ask for the right to "
            "list storage classes."
        ) from None
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
