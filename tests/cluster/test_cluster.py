"""What `make cluster-up` decides and refuses; no test here starts a cluster."""

import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from tests.cluster import binaries, certificates, cluster, host, images, kind, packages, processes
from tests.cluster.layout import API_PORT, HOST_ADDRESS, NODES, SERVICE_ADDRESS, Layout
from tests.cluster.processes import ClusterError


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A cluster directory with nothing in it, and no cluster in the environment."""
    monkeypatch.setenv("CLUSTER_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return Layout((tmp_path / "state").resolve())


def choose(layout: Layout, kubeconfig: str | None = None) -> str:
    return cluster.choose({"KUBECONFIG": kubeconfig} if kubeconfig else {}, layout, print)


def machine(monkeypatch: pytest.MonkeyPatch, *, has_kind: bool, registry: bool) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name != "kind" or has_kind else None)
    monkeypatch.setattr(kind, "there", lambda: False)
    monkeypatch.setattr(cluster, "choose_source", lambda *_: "registry" if registry else "built")


def test_the_cluster_of_kubeconfig_is_taken_before_any_other(layout: Layout, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.touch()
    assert choose(layout, str(config)) == "given"


def test_our_own_kubeconfig_does_not_make_the_cluster_somebody_elses(layout: Layout) -> None:
    assert choose(layout, str(layout.kubeconfig)) == "packages"


@pytest.mark.parametrize(
    ("value", "remedy"), [("/nowhere/config", "correct it or unset it"), ("/etc/hostname:/etc/hosts", "name one file")]
)
def test_a_kubeconfig_that_cannot_be_meant_is_refused(layout: Layout, value: str, remedy: str) -> None:
    with pytest.raises(ClusterError, match=f"KUBECONFIG is '{value}'.*{remedy}"):
        choose(layout, value)


@pytest.mark.parametrize(
    ("has_kind", "registry", "source"),
    [(True, True, "kind"), (True, False, "packages"), (False, True, "packages")],
)
def test_kind_needs_both_its_program_and_a_registry(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, has_kind: bool, registry: bool, source: str
) -> None:
    machine(monkeypatch, has_kind=has_kind, registry=registry)
    assert choose(layout) == source


def test_a_running_cluster_from_packages_stays_the_one(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, has_kind=True, registry=True)
    layout.root.mkdir()
    layout.host.write_text("{}")
    assert choose(layout) == "packages"


def test_down_leaves_a_given_cluster_alone(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").touch()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    layout.root.mkdir()
    cluster.remove_any(print)
    assert "left alone" in capsys.readouterr().out
    assert layout.root.exists()


@pytest.mark.usefixtures("layout")
def test_down_on_nothing_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(kind, "there", lambda: False)
    cluster.remove_any(print)
    assert "nothing was done" in capsys.readouterr().out


@pytest.mark.parametrize(("user", "remedy"), [(1000, "run this as root"), (0, "there is no apt-get here")])
def test_a_missing_program_is_one_sentence_with_its_package(
    monkeypatch: pytest.MonkeyPatch, user: int, remedy: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    real = shutil.which
    monkeypatch.setattr("shutil.which", lambda name: None if name in ("etcd", "apt-get") else real(name))
    with pytest.raises(ClusterError, match=remedy) as refused:
        binaries.ensure_packages(print)
    assert "etcd-server" in str(refused.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_a_port_in_use_is_named_before_anything_is_touched(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    with socket.socket() as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr(host, "PORTS", {port: "etcd"})
        with pytest.raises(ClusterError, match=f"port {port}, which etcd of the cluster needs, is in use"):
            host.check_ports()
    host.check_ports()


@pytest.mark.parametrize("route", ["10.96.0.0/12", "10.245.0.128/25"])
def test_a_network_that_the_cluster_would_hide_is_refused(monkeypatch: pytest.MonkeyPatch, route: str) -> None:
    listing = f'[{{"dst": "default"}}, {{"dst": "172.17.0.0/16"}}, {{"dst": "{route}"}}]'
    monkeypatch.setattr(host, "run", lambda *_: listing)
    with pytest.raises(ClusterError, match=f"a route to {route}"):
        host.check_routes()


def test_a_program_is_found_again_and_stopped(layout: Layout) -> None:
    pid = processes.start(layout, "sleeper", "sleep", "60")
    assert processes.running(layout, "sleeper") == pid
    processes.stop(layout, ["sleeper"], patience=5)
    assert processes.recorded(layout) == []


def test_a_process_that_took_over_an_old_id_is_not_ours(layout: Layout) -> None:
    pid = processes.start(layout, "sleeper", "sleep", "60")
    try:
        (layout.processes / "other").write_text(f"{pid} 1\n")
        assert processes.running(layout, "other") is None
    finally:
        processes.stop(layout, ["sleeper"], patience=5)


def test_a_node_that_does_not_run_is_one_sentence(layout: Layout) -> None:
    with pytest.raises(ClusterError, match="node1 of the cluster does not run; `make cluster-up`"):
        processes.inside(layout, NODES[0], "true")


def test_certificates_serve_every_address_that_is_dialled(layout: Layout) -> None:
    certificates.ensure(layout)
    read: Callable[[str], x509.Certificate] = lambda name: x509.load_pem_x509_certificate(  # noqa: E731
        (layout.pki / f"{name}.crt").read_bytes()
    )
    authority = read("ca")
    wanted = {"apiserver": {"127.0.0.1", HOST_ADDRESS, SERVICE_ADDRESS}}
    wanted |= {f"kubelet-{node.name}": {node.address} for node in NODES}
    for name, addresses in wanted.items():
        certificate = read(name)
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert addresses <= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert all(path.stat().st_mode & 0o077 == 0 for path in layout.pki.glob("*.key*"))
    assert f"https://{HOST_ADDRESS}:{API_PORT}" in (layout.pki / "kubelet-node1.kubeconfig").read_text()


def test_a_kept_cluster_keeps_its_certificates(layout: Layout) -> None:
    certificates.ensure(layout)
    before = (layout.pki / "sa.key").read_bytes()
    certificates.ensure(layout)
    assert (layout.pki / "sa.key").read_bytes() == before


def test_images_without_a_list_are_none_and_a_torn_list_is_refused(tmp_path: Path) -> None:
    assert images.platform(tmp_path) == {}
    (tmp_path / ".images").mkdir()
    (tmp_path / ".images/built.json").write_text('{"images": ')
    with pytest.raises(ClusterError, match=r"\.images/built\.json: not complete; run `make images`"):
        images.platform(tmp_path)


def test_every_part_of_kubernetes_is_of_one_release() -> None:
    pins = (binaries.MODULES / "kubernetes/go.mod").read_text()
    replaced = dict(re.findall(r"^\s+(k8s\.io/\S+) => \S+ (v\S+)$", pins, re.MULTILINE))
    assert len(replaced) > 20
    assert set(replaced.values()) == {"v0" + binaries.version()[1:]}


def test_nothing_of_a_cluster_is_there_before_its_first_start(layout: Layout) -> None:
    assert not packages.exists(layout)
    assert not packages.complete(layout)
