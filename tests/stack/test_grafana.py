"""Grafana has the dashboards, and takes them over its HTTP API too.

Against the stack's own where there is an image of Grafana; GRAFANA_URL names another one, whose anonymous
visitors may edit, for the import alone.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import requests

from infra import dashboards
from infra.dashboards.kit.page import Page
from infra.stack import load
from tests.running import eventually
from tests.stack.conftest import STACK, Live

PASSWORD = "/run/secrets/grafana-admin-password"  # noqa: S105
SUFFIX = "-import-test"


@dataclass(frozen=True)
class Grafana:
    """A running Grafana at `url`, asked as `user`."""

    url: str
    user: tuple[str, str] | None

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer of its HTTP API."""
        answer = requests.request(method, f"{self.url}{path}", json=body, auth=self.user, timeout=20)
        return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def own(request: pytest.FixtureRequest) -> Grafana:
    """The Grafana of the stack."""
    stack = load(STACK)
    if "grafana" in stack.images.unavailable:
        pytest.skip(f"the stack has no Grafana: {stack.images.unavailable['grafana']}")
    live: Live = request.getfixturevalue("live")
    password = live.docker("exec", live.container("grafana"), "cat", PASSWORD).strip()
    return Grafana(f"http://127.0.0.1:{stack.settings.grafana_port}", ("admin", password))


@pytest.fixture(scope="module")
def any_grafana(request: pytest.FixtureRequest) -> Grafana:
    """The one GRAFANA_URL names, else that of the stack."""
    url = os.environ.get("GRAFANA_URL")
    if url:
        return Grafana(url.rstrip("/"), None)
    stack = load(STACK)
    if "grafana" in stack.images.unavailable:
        pytest.skip("the stack has no Grafana, and GRAFANA_URL names none (e.g. GRAFANA_URL=http://127.0.0.1:3300)")
    grafana: Grafana = request.getfixturevalue("own")
    return grafana


def _panels(document: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(panel["id"], panel["type"], panel.get("title", "")) for panel in document["panels"]]


def test_every_dashboard_is_provisioned_in_the_folder(own: Grafana) -> None:
    for page in dashboards.pages(load(STACK)):
        found = eventually(page.uid, partial(_found, own, page.uid), seconds=30)
        assert found["meta"]["folderTitle"] == "MyCrypto"
        assert found["meta"]["provisioned"] is True
        assert found["dashboard"]["title"] == page.title
        assert _panels(found["dashboard"]) == _panels(page.document)


def _found(grafana: Grafana, uid: str) -> Any:
    status, answer = grafana.ask("GET", f"/api/dashboards/uid/{uid}")
    return answer if status == 200 else None


def test_the_first_page_is_system_health(own: Grafana) -> None:
    status, answer = own.ask("GET", "/api/dashboards/home")
    assert status == 200
    home = next(page for page in dashboards.pages(load(STACK)) if page.uid == dashboards.HOME)
    assert _panels(answer["dashboard"]) == _panels(home.document)


@pytest.fixture
def imported(any_grafana: Grafana) -> Iterator[list[tuple[Page, tuple[int, Any]]]]:
    """Every dashboard with Grafana's answer to its import under another uid; removed at the end."""
    answers = []
    try:
        for page in dashboards.pages(load(STACK)):
            copied = {**json.loads(page.text), "id": None, "uid": page.uid + SUFFIX, "title": page.title + SUFFIX}
            answers.append(
                (page, any_grafana.ask("POST", "/api/dashboards/db", {"dashboard": copied, "overwrite": True}))
            )
        yield answers
    finally:
        left = [
            page.uid
            for page, _ in answers
            if any_grafana.ask("DELETE", f"/api/dashboards/uid/{page.uid}{SUFFIX}")[0] != 200
        ]
    assert left == []


def test_every_dashboard_can_be_imported(any_grafana: Grafana, imported: list[tuple[Page, tuple[int, Any]]]) -> None:
    assert imported
    for page, (status, answer) in imported:
        assert (status, answer.get("status")) == (200, "success"), f"{page.uid}: {answer}"
        found = _found(any_grafana, page.uid + SUFFIX)
        assert found["dashboard"]["title"] == page.title + SUFFIX
        assert _panels(found["dashboard"]) == _panels(page.document)
