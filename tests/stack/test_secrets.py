"""No secret's value in arguments, environment listings, logs, rendered files or labels."""

import json

import pytest

from infra import render
from infra.settings import ROOT
from tests.stack.conftest import STACK, Live


@pytest.fixture(scope="module")
def values(live: Live) -> list[str]:
    """The generated values."""
    found = [path.read_text() for path in (ROOT / ".secrets" / live.stack.name).glob("*.value")]
    assert len(found) == 3
    return found


def test_no_value_in_what_docker_tells(live: Live, values: list[str]) -> None:
    for workload in live.workloads():
        told = json.dumps(live.inspect(workload.name)) + live.docker("logs", live.container(workload.name))
        assert not [v for v in values if v in told], workload.name


def test_no_value_in_process_arguments(live: Live, values: list[str]) -> None:
    for workload in live.workloads():
        assert not [v for v in values if v in live.docker("top", live.container(workload.name))], workload.name


def test_no_value_in_the_render(values: list[str]) -> None:
    text = render.write(STACK)[0].read_text()
    assert not [v for v in values if v in text]


def test_secret_files_can_be_read_by_their_workload_alone(live: Live) -> None:
    for workload in live.workloads():
        for file in workload.secret_files:
            path = ROOT / ".secrets" / STACK / workload.name / file.path.rsplit("/", 1)[-1]
            status = path.stat()
            assert status.st_mode & 0o777 == 0o600, path
            assert status.st_uid == workload.security.user, path
