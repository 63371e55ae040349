"""The control plane, which runs on this machine beside the nodes: etcd, API server, controllers, scheduler."""

from pathlib import Path

import requests

from tests.cluster.layout import API_PORT, HOST_ADDRESS, POD_SUBNET, SERVICE_SUBNET, Layout
from tests.cluster.processes import start

API_SERVER = "kube-apiserver"
# In the order in which they are asked to end; etcd goes alone, after who writes to it.
PROGRAMS = ("kube-scheduler", "kube-controller-manager", API_SERVER)
ETCD = "etcd"

SERVICE = "kubernetes.default.svc.cluster.local"


def start_api(layout: Layout, binaries: Path) -> None:
    """Start etcd and the API server."""
    pki = layout.pki
    layout.etcd.mkdir(parents=True, exist_ok=True)
    layout.etcd.chmod(0o700)
    peer = "http://127.0.0.1:2380"
    start(
        layout,
        ETCD,
        *("etcd", "--name=cluster", f"--data-dir={layout.etcd}", "--logger=zap"),
        *("--listen-client-urls=https://127.0.0.1:2379", "--advertise-client-urls=https://127.0.0.1:2379"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=cluster={peer}"),
        *(f"--cert-file={pki}/etcd.crt", f"--key-file={pki}/etcd.key", "--client-cert-auth"),
        *(f"--trusted-ca-file={pki}/etcd-ca.crt", "--listen-metrics-urls=http://127.0.0.1:2381"),
    )
    start(
        layout,
        API_SERVER,
        str(binaries / API_SERVER),
        *(f"--advertise-address={HOST_ADDRESS}", f"--secure-port={API_PORT}", "--allow-privileged=true"),
        *("--etcd-servers=https://127.0.0.1:2379", f"--etcd-cafile={pki}/etcd-ca.crt"),
        *(f"--etcd-certfile={pki}/apiserver-etcd-client.crt", f"--etcd-keyfile={pki}/apiserver-etcd-client.key"),
        *(f"--client-ca-file={pki}/ca.crt", f"--tls-cert-file={pki}/apiserver.crt"),
        *(f"--tls-private-key-file={pki}/apiserver.key", f"--kubelet-certificate-authority={pki}/ca.crt"),
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        *(f"--service-account-issuer=https://{SERVICE}", f"--service-account-key-file={pki}/sa.pub"),
        *(f"--service-account-signing-key-file={pki}/sa.key", f"--service-cluster-ip-range={SERVICE_SUBNET}"),
        *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
        *(f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt", "--requestheader-username-headers=X-Remote-User"),
        *("--requestheader-allowed-names=front-proxy-client", "--requestheader-group-headers=X-Remote-Group"),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        *(f"--proxy-client-key-file={pki}/front-proxy-client.key", "--profiling=false"),
        # An etcd of a distribution reports no progress, for which each estimate of a list would wait in vain.
        "--feature-gates=SizeBasedListCostEstimate=false",
    )


def start_controllers(layout: Layout, binaries: Path) -> None:
    """Start the controller manager and the scheduler; the API server must be ready."""
    pki = layout.pki
    start(
        layout,
        "kube-controller-manager",
        str(binaries / "kube-controller-manager"),
        *_as("controller-manager", layout),
        *(f"--cluster-cidr={POD_SUBNET}", "--allocate-node-cidrs=false", "--use-service-account-credentials=true"),
        *(f"--service-cluster-ip-range={SERVICE_SUBNET}", f"--cluster-signing-cert-file={pki}/ca.crt"),
        *(f"--cluster-signing-key-file={pki}/ca.key", f"--root-ca-file={pki}/ca.crt"),
        f"--service-account-private-key-file={pki}/sa.key",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
    )
    start(layout, "kube-scheduler", str(binaries / "kube-scheduler"), *_as("scheduler", layout))


def ready(layout: Layout) -> bool:
    """Whether the API server says that it is ready."""
    certificate = (str(layout.pki / "client-admin.crt"), str(layout.pki / "client-admin.key"))
    with requests.Session() as session:
        # A proxy of the environment reaches no port of this machine's own.
        session.trust_env = False
        try:
            url = f"https://127.0.0.1:{API_PORT}/readyz"
            answer = session.get(url, cert=certificate, verify=str(layout.pki / "ca.crt"), timeout=5)
        except (requests.RequestException, OSError):
            return False
        return answer.ok


def _as(user: str, layout: Layout) -> tuple[str, ...]:
    kubeconfig = layout.pki / f"{user}.kubeconfig"
    options = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    # There is one of each: nobody to lead.
    return (*(f"--{option}={kubeconfig}" for option in options), "--bind-address=127.0.0.1", "--leader-elect=false")
