"""A cluster that does not answer, refuses or lacks something, and kubeconfigs that are none: said in one sentence."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra import cluster, documents, settings
from infra.settings import ROOT
from infra.stack import Stack, load
from tests.unit.loopback import LOOPBACK, closed_port
from tests.unit.manifests import sentence

Answers = dict[str, dict[str, Any]]


class _Api(BaseHTTPRequestHandler):
    """As much of a cluster's API as is asked before anything is applied."""

    def __init__(self, answers: Answers, *arguments: Any) -> None:
        self.answers = answers
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body = json.dumps(self.answers.get(self.path, {})).encode()
        self.send_response(200 if self.path in self.answers else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing: a test's output is its own."""


@contextmanager
def api(answers: Answers) -> Iterator[str]:
    """A server that gives these answers by path and refuses everything else; its address."""
    server = ThreadingHTTPServer((LOOPBACK, 0), partial(_Api, answers))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def classes(*names: str, default: str = "") -> Answers:
    """A cluster with these storage classes."""
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    items = [
        {"metadata": {"name": name, "annotations": mark if name == default else {}}, "provisioner": "example.com/disk"}
        for name in names
    ]
    version = dict.fromkeys(
        ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"),
        "1",
    )
    return {"/version/": version, "/apis/storage.k8s.io/v1/storageclasses": {"items": items}}


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes a kubeconfig for a cluster at an address, and makes it the one that is read."""

    def write(address: str) -> Path:
        path = tmp_path / "kubeconfig"
        document = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
            "clusters": [{"name": "here", "cluster": {"server": address}}],
            "users": [{"name": "me", "user": {}}],
        }
        path.write_text(documents.dump(document))
        return use(path)

    def use(path: Path) -> Path:
        from kubernetes.config import kube_config  # noqa: PLC0415 - a second of import for these tests alone

        monkeypatch.setenv("KUBECONFIG", str(path))
        # The client reads the variable once, when it is imported.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        return path

    return write


def prod(**overrides: Any) -> Stack:
    values = {**settings.stack_file_values("prod"), **overrides}
    return load("prod", settings.from_config(values, "Pulumi.prod.yaml"))


def verify(**overrides: Any) -> str:
    """What stack prod says about the cluster."""
    return sentence(lambda: cluster.verify(prod(**overrides).settings))


def test_unreachable_cluster_is_said_at_once(kubeconfig: Callable[[str], Path]) -> None:
    path = kubeconfig(f"https://{LOOPBACK}:{closed_port()}")
    done = subprocess.run(
        [sys.executable, "-m", "operate", "--stack", "prod", "down"],
        cwd=ROOT,
        env={"KUBECONFIG": str(path), "PATH": "", "HOME": str(path.parent)},
        capture_output=True,
        text=True,
        check=False,
        # It takes a second or two, and longer on a machine that does much else; the client's own retries take minutes.
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"error: the cluster at https://{LOOPBACK}:" in done.stderr
    assert "does not answer (Connection refused)" in done.stderr.replace("[Errno 111] ", "")
    assert "KUBECONFIG or monitoring:kubeContext" in done.stderr


def test_cluster_that_takes_the_connection_and_says_nothing(
    kubeconfig: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT", 0.3)
    with socket.create_server((LOOPBACK, 0)) as silent:
        kubeconfig(f"http://{LOOPBACK}:{silent.getsockname()[1]}")
        assert "does not answer" in verify()


def test_no_kubeconfig(kubeconfig: Callable[[str], Path]) -> None:
    path = kubeconfig("http://unused")
    path.unlink()
    said = verify()
    assert said.startswith(f"kubeconfig {path}: ")
    assert "`export KUBECONFIG=...`" in said


def test_context_that_is_not_there(kubeconfig: Callable[[str], Path]) -> None:
    path = kubeconfig("http://unused")
    said = verify(kubeContext="there")
    assert said.startswith(f"kubeconfig {path}: ")
    assert "there" in said
    assert "monitoring:kubeContext" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"clusters: [", "while parsing a flow node"),
        (b"just words", "is no kubeconfig"),
        (b"- a\n- list\n", "is no kubeconfig"),
        (b"clusters: {}\ncontexts: 1\n", "is no kubeconfig"),
        (b"", "file is empty"),
        (b"\xff\xfe\x00", "can't decode"),
    ],
)
def test_kubeconfig_that_is_none(kubeconfig: Callable[[str], Path], text: bytes, words: str) -> None:
    path = kubeconfig("http://unused")
    path.write_bytes(text)
    said = verify()
    assert said.startswith(f"kubeconfig {path}: ")
    assert words in said
    assert "`export KUBECONFIG=...`" in said


def test_storage_class_that_the_cluster_lacks(kubeconfig: Callable[[str], Path]) -> None:
    with api(classes("slow", "fast")) as address:
        kubeconfig(address)
        said = verify(storageClass="fast-ssd")
        assert "monitoring:storageClass: the cluster has no class 'fast-ssd'; known: fast, slow" in said
        cluster.verify(prod(storageClass="fast").settings)


def test_no_default_storage_class(kubeconfig: Callable[[str], Path]) -> None:
    for found, words in ((classes("slow", "fast"), "name one of fast, slow"), (classes(), "none (make one first)")):
        with api(found) as address:
            kubeconfig(address)
            said = verify()
            assert "monitoring:storageClass: is empty and the cluster has no default class" in said
            assert words in said
    with api(classes("slow", "fast", default="fast")) as address:
        kubeconfig(address)
        cluster.verify(prod().settings)


def test_cluster_that_refuses(kubeconfig: Callable[[str], Path]) -> None:
    with api({}) as address:
        kubeconfig(address)
        assert f"the cluster at {address} refuses (403 Forbidden); sign in again" in verify()
