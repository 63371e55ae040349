"""The same stack by a real Pulumi engine; skipped, and said so, where none is on the PATH."""

import io
import json
import subprocess
import tarfile

from infra import render
from infra.settings import ROOT
from infra.stack import load
from operate import deploy
from tests.stack.conftest import STACK, Live


def preview(pulumi: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pulumi preview of the test stack."""
    return subprocess.run(
        [pulumi, "preview", "--stack", STACK, "--non-interactive", *arguments],
        cwd=ROOT,
        env=deploy.pulumi_environment(load(STACK)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_second_preview_shows_no_change(pulumi: str, live: Live) -> None:
    done = preview(pulumi, "--expect-no-changes")
    assert done.returncode == 0, done.stdout[-2000:]
    assert live.query("up")


def test_edited_rule_changes_prometheus_and_nothing_else(pulumi: str, live: Live) -> None:
    path = live.stack.root / "configs/prometheus/rules/critical.yml"
    before = path.read_text()
    try:
        path.write_text(before.replace("is down: no instance", "is DOWN: no instance"))
        steps = json.loads(preview(pulumi, "--json").stdout)["steps"]
    finally:
        path.write_text(before)
    changed = {step["urn"].rsplit("::", 1)[-1] for step in steps if step["op"] != "same"}
    assert changed == {"prometheus"}


def test_policies_stop_a_preview(pulumi: str, live: Live) -> None:
    fine = preview(pulumi, "--policy-pack", "policies")
    assert fine.returncode == 0, fine.stdout[-2000:]
    path = live.stack.root / f"Pulumi.{STACK}.yaml"
    before = path.read_text()
    try:
        path.write_text(before.replace("config:\n", "config:\n  monitoring:retentionDays: 29\n"))
        stopped = preview(pulumi, "--policy-pack", "policies")
    finally:
        path.write_text(before)
    assert stopped.returncode != 0
    assert "metrics-are-kept" in stopped.stdout
    assert "29d keeps metrics for under 30 days" in stopped.stdout


def test_containers_are_those_render_describes(pulumi: str, live: Live) -> None:
    """Image, arguments, environment, files, mounts, ports, network, limits and user, container by container."""
    assert pulumi
    declared = {r.name: r.inputs for r in render.resources(STACK) if r.type.endswith("container:Container")}
    assert set(declared) == {w.name for w in live.workloads()}
    for name, inputs in declared.items():
        actual = live.inspect(name)
        config, host = actual["Config"], actual["HostConfig"]
        assert config["Image"] == inputs["image"], name
        assert config["User"] == inputs["user"], name
        assert host["Memory"] == inputs["memory"] * 1024 * 1024, name
        if "command" in inputs:
            assert config["Cmd"] == inputs["command"], name
        if "entrypoints" in inputs:
            assert config["Entrypoint"] == inputs["entrypoints"], name
        assert set(inputs.get("envs", [])) <= set(config["Env"]), name
        mounts = {(m.get("Name") or m["Source"], m["Destination"], m["RW"]) for m in actual["Mounts"]}
        wanted = {
            (v.get("volumeName") or v["hostPath"], v["containerPath"], not v.get("readOnly", False))
            for v in inputs["volumes"]
        }
        assert wanted <= mounts, name
        ports = {
            (key.split("/")[0], b["HostIp"], b["HostPort"])
            for key, bindings in (host["PortBindings"] or {}).items()
            for b in bindings
        }
        assert ports == {(str(p["internal"]), p["ip"], str(p["external"])) for p in inputs.get("ports", [])}, name
        aliases = actual["NetworkSettings"]["Networks"][f"monitoring-{STACK}"]["Aliases"]
        assert name in aliases, name
        for upload in inputs["uploads"]:
            packed = subprocess.run(
                ["docker", "cp", f"{live.container(name)}:{upload['file']}", "-"], capture_output=True, check=True
            ).stdout
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                member = archive.extractfile(archive.getmembers()[0])
                assert member is not None
                assert member.read().decode() == upload["content"], f"{name} {upload['file']}"
