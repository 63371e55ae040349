"""The Docker target's resources as a Compose file: what pulumi would create, for Docker Compose to create.

A property that is not translated stops the render; nothing is dropped in silence.
"""

from collections.abc import Iterable
from typing import Any

from infra.errors import InputError

NETWORK, VOLUME, CONTAINER = (
    "docker:index/network:Network",
    "docker:index/volume:Volume",
    "docker:index/container:Container",
)

# Properties whose meaning Compose has by default, or that only concern the engine's own waiting.
_IMPLIED = {"mustRun"}


def document(stack: str, resources: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    """A Compose document for (type, name, inputs in camelCase) triples."""
    result: dict[str, Any] = {
        "name": f"monitoring-{stack}",
        "networks": {},
        "volumes": {},
        "configs": {},
        "services": {},
    }
    for kind, name, inputs in resources:
        if kind == NETWORK:
            _expect(name, inputs, {"name", "labels"})
            result["networks"]["network"] = {"name": inputs["name"], "labels": _labels(inputs)}
        elif kind == VOLUME:
            _expect(name, inputs, {"name", "labels"})
            result["volumes"][inputs["name"]] = {"name": inputs["name"], "labels": _labels(inputs)}
        elif kind == CONTAINER:
            result["services"][name] = _service(name, dict(inputs), result["configs"])
        elif not kind.startswith("pulumi:"):
            raise InputError(
                f"render: {name}: resource type {kind} has no Compose form; add it to infra/targets/compose.py."
            )
    return result


def _service(name: str, inputs: dict[str, Any], configs: dict[str, Any]) -> dict[str, Any]:
    take = inputs.pop
    service: dict[str, Any] = {
        "container_name": take("name"),
        "image": take("image"),
        "pull_policy": "missing",
        "hostname": take("hostname"),
        "user": take("user"),
        "restart": take("restart"),
        "mem_limit": f"{take('memory')}m",
        "memswap_limit": f"{take('memorySwap')}m",
        "cap_drop": inputs["capabilities"].get("drops", []),
        "cap_add": take("capabilities").get("adds", []),
        "security_opt": take("securityOpts"),
        "logging": {"driver": take("logDriver"), "options": take("logOpts")},
        "labels": _labels(inputs),
        "stop_grace_period": f"{take('destroyGraceSeconds')}s",
        "networks": {"network": {"aliases": take("networksAdvanced")[0]["aliases"]}},
        "volumes": [_volume(volume) for volume in take("volumes")],
        "configs": [_config(name, upload, configs) for upload in take("uploads")],
    }
    take("labels")
    take("stopTimeout")
    if "entrypoints" in inputs:
        service["entrypoint"] = _escape(take("entrypoints"))
    if "command" in inputs:
        service["command"] = _escape(take("command"))
    if "envs" in inputs:
        service["environment"] = _escape(take("envs"))
    if "ports" in inputs:
        service["ports"] = [
            {"host_ip": p["ip"], "published": str(p["external"]), "target": p["internal"], "protocol": p["protocol"]}
            for p in take("ports")
        ]
    if "healthcheck" in inputs:
        check = dict(take("healthcheck"))
        service["healthcheck"] = {
            "test": _escape(check.pop("tests")),
            "start_period": check.pop("startPeriod"),
            **{key: check.pop(key) for key in ("interval", "timeout", "retries")},
        }
        _expect(f"{name}.healthcheck", check, set())
    _expect(name, inputs, _IMPLIED)
    return {key: value for key, value in service.items() if value != []}


def _volume(volume: dict[str, Any]) -> dict[str, Any]:
    _expect("volumes", volume, {"hostPath", "volumeName", "containerPath", "readOnly"})
    kind, source = ("bind", volume["hostPath"]) if "hostPath" in volume else ("volume", volume["volumeName"])
    result = {"type": kind, "source": source, "target": volume["containerPath"]}
    if volume.get("readOnly"):
        result["read_only"] = True
    if kind == "bind":
        # A missing secret file must stop the start, not become an empty directory.
        result["bind"] = {"create_host_path": False}
    return result


def _config(name: str, upload: dict[str, Any], configs: dict[str, Any]) -> dict[str, Any]:
    _expect(f"{name}.uploads", upload, {"file", "content"})
    key = f"{name}{upload['file']}".replace("/", "_")
    configs[key] = {"content": _escape(upload["content"])}
    return {"source": key, "target": upload["file"], "mode": 0o644}


def _labels(inputs: dict[str, Any]) -> dict[str, str]:
    return {item["label"]: item["value"] for item in inputs["labels"]}


def _escape(value: Any) -> Any:
    """Compose reads $NAME as a variable; $$ is a dollar."""
    if isinstance(value, list):
        return [_escape(item) for item in value]
    return value.replace("$", "$$")


def _expect(place: str, inputs: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(set(inputs) - known)
    if unknown:
        raise InputError(
            f"render: {place}: {', '.join(unknown)} has no Compose form; add it to infra/targets/compose.py."
        )
