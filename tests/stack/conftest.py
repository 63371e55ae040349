"""The live stack `test`: the platform on ports of its own, started once and removed at the end."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from infra import assembly
from infra.stack import Stack, load
from infra.workload import Workload
from tests import running
from tests.hosts.fleet import Fleet
from tests.running import eventually, starting, succeeded
from tests.stack import hosts

STACK = "test"
KEPT = bool(os.environ.get("KEEP"))


def operate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a day-2 command on the test stack."""
    return running.operate(STACK, *arguments)


class Live:
    """The running stack, asked over its published ports."""

    def __init__(self, stack: Stack, fleet: Fleet) -> None:
        self.stack = stack
        self.fleet = fleet
        # Unix times at which test_b_faults.py broke Slack and the hosts, and then the rest.
        self.broke_at: float | None = None
        self.rest_broke_at = 0.0
        settings = stack.settings
        self.prometheus = f"http://127.0.0.1:{settings.prometheus_port}"
        self.alertmanager = f"http://127.0.0.1:{settings.alertmanager_port}"
        self.loki = f"http://127.0.0.1:{settings.loki_port}"
        self.inbox = f"http://127.0.0.1:{settings.inbox_port}"
        self.faults = f"http://127.0.0.1:{settings.faults_port}"

    def workloads(self) -> list[Workload]:
        """What the program declares for the stack."""
        return assembly.workloads(self.stack)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector an instant query gives."""
        answer = requests.get(f"{self.prometheus}/api/v1/query", params={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """The value of an expression with one series, None without a series."""
        result = self.query(expression)
        assert len(result) <= 1, f"{expression} has {len(result)} series"
        return float(result[0]["value"][1]) if result else None

    def every_target_is_up(self) -> None:
        """Wait until Prometheus has scraped each target."""
        eventually("every target is up", lambda: self.query("up") and not self.query("up != 1"), seconds=90)

    def notifications(self, **filters: str) -> list[dict[str, Any]]:
        """What the inbox has received."""
        answer = requests.get(f"{self.inbox}/api/notifications", params=filters, timeout=30).json()
        items: list[dict[str, Any]] = answer["notifications"] if isinstance(answer, dict) else answer
        return items

    def container(self, component: str) -> str:
        """Name of a component's container."""
        return f"monitoring-{STACK}-{component}"

    def docker(self, *arguments: str) -> str:
        """Output of a docker command that must succeed."""
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout

    def put_archive(self, component: str, path: str, archive: bytes) -> None:
        """Unpack a tar archive in a component's container."""
        command = ["docker", "cp", "-", f"{self.container(component)}:{path}"]
        subprocess.run(command, input=archive, check=True)

    def inspect(self, component: str) -> dict[str, Any]:
        """docker inspect of a component."""
        data: dict[str, Any] = json.loads(self.docker("inspect", self.container(component)))[0]
        return data

    def fetch(self, url: str) -> str:
        """GET from inside the stack's network, where the services' names resolve."""
        script = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=30).read().decode())"
        return self.docker("exec", self.container("exchange-control"), "python3", "-c", script)

    def inject(self, service: str, fault: str, **parameters: Any) -> None:
        """Inject a fault."""
        answer = requests.put(f"{self.faults}/api/faults/{service}/{fault}", json=parameters, timeout=30)
        assert answer.ok, answer.text

    def heal(self, fault: str = "") -> None:
        """Heal one fault (service/fault), or every fault."""
        assert requests.delete(f"{self.faults}/api/faults/{fault}".rstrip("/"), timeout=30).ok


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """The stack, up, and its hosts. KEEP=1 leaves them running afterwards, for the next run or for a look at them."""
    with ExitStack() as running_hosts:
        with starting():
            if not KEPT:
                # Starts a Docker engine where none runs, which `down` does not.
                succeeded(operate("images"))
                succeeded(operate("down", "--purge"))
            fleet = running_hosts.enter_context(hosts.fleet(KEPT))
            succeeded(operate("up"))
        yield Live(load(STACK), fleet)
        if not KEPT:
            operate("down", "--purge")


@pytest.fixture(scope="session")
def pulumi() -> str:
    """Path of the real engine; tests that need it are skipped, and say so, where there is none."""
    path = shutil.which("pulumi")
    if path is None:
        pytest.skip("no pulumi on the PATH: not tried with a real engine here")
    return path
