"""The cluster's programs and its own images: Go modules built once and kept in the cache, and Debian's packages."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from infra.settings import ROOT
from operate import engine, tools
from operate.tools import Say
from tests.cluster.processes import ClusterError

HERE = ROOT / "tests" / "cluster"
MODULES = HERE / "modules"

KUBERNETES = (
    "kube-apiserver",
    "kubelet",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubectl",
)
# Module -> the package to build; each becomes an image of the same name.
ADDONS = {"coredns": ".", "local-path-provisioner": "github.com/rancher/local-path-provisioner"}

# Program -> the Debian package that has it.
DEBIAN = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "gcc": "gcc",
    "/usr/include/stdlib.h": "libc6-dev",
}


def missing_packages() -> list[str]:
    """Debian packages that the cluster needs and this machine does not have."""
    lacking = [package for program, package in DEBIAN.items() if not _there(program)]
    busybox = shutil.which("busybox")
    # The image that makes volumes holds nothing but busybox: one that loads libraries would not start there.
    static = busybox is not None and b"/ld-" not in Path(busybox).read_bytes()
    return lacking if static else [*lacking, "busybox-static"]


def ensure_packages(say: Say) -> None:
    """Install what Debian's packages have. Raises ClusterError, with what is missing, where that cannot be done."""
    missing = missing_packages()
    if os.geteuid() != 0:
        need = f", and the Debian packages {' '.join(missing)}" if missing else ""
        raise ClusterError(
            f"a cluster from packages needs root{need}; run this as root, or name a cluster of yours with KUBECONFIG."
        )
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(
            f"a cluster from packages needs the Debian packages {' '.join(missing)} and there is no apt-get here; "
            "name a cluster of yours with KUBECONFIG, or install kind."
        )
    say(f"installing {' '.join(missing)} from Debian's packages ...")
    engine.apt_install(*missing)


def version() -> str:
    """The Kubernetes release that the module pins, without the leading v."""
    pin = re.search(r"^require k8s\.io/kubernetes v(\S+)$", _module_file("kubernetes").read_text(), re.MULTILINE)
    if pin is None:
        raise ClusterError(f"{_module_file('kubernetes')} does not require k8s.io/kubernetes; restore it from git.")
    return pin[1]


def ensure(say: Say) -> Path:
    """The directory with `bin/` and `images.tar`, built on first use (10 to 15 minutes) and kept in the cache.

    Raises BuildError with the reason and the remedy.
    """
    sources = [path for path in MODULES.rglob("*") if path.is_file()]
    key = f"kubernetes-{version()}-{tools.fingerprint([*sources, HERE / 'pause.c', HERE / 'binaries.py'])}"
    return tools.build_once(key, lambda out, log: _build(out, log, say), say)


def _build(out: Path, log: Path, say: Say) -> None:
    binaries = out / "bin"
    binaries.mkdir()
    for name in KUBERNETES:
        _go_build("kubernetes", f"k8s.io/kubernetes/cmd/{name}", binaries / name, log, say, flags=_version_flags())
    for name, package in ADDONS.items():
        _go_build(name, package, binaries / name, log, say)
    compile_pause = ["gcc", "-O2", "-static", "-o", str(binaries / "pause"), str(HERE / "pause.c")]
    tools.run_logged(compile_pause, "pause", log, say)
    context = out / "context"
    for name in ("pause", *ADDONS):
        (context / name).mkdir(parents=True)
        shutil.copy2(binaries / name, context / name / name)
        (context / name / "Dockerfile").write_text(f'FROM scratch\nCOPY {name} /{name}\nENTRYPOINT ["/{name}"]\n')
    _busybox_context(context / "busybox")
    references = {name: f"localhost/cluster/{name}:1" for name in ("pause", *ADDONS, "busybox")}
    for name, reference in references.items():
        command = ["docker", "build", "--network=none", "--force-rm", f"--tag={reference}", str(context / name)]
        tools.run_logged(command, f"{name} image", log, say)
    tar = str(out / "images.tar")
    tools.run_logged(["docker", "save", f"--output={tar}", *references.values()], "the cluster's images", log, say)
    # Only the cluster runs them; Docker's own list stays as it was.
    subprocess.run(["docker", "image", "rm", *references.values()], capture_output=True, check=False)
    shutil.rmtree(context)


def _go_build(module: str, package: str, out: Path, log: Path, say: Say, *, flags: str = "") -> None:
    command = [str(tools.ensure("go", say)), "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    tools.run_logged(
        [*command, "-ldflags", f"-s -w {flags}".strip(), "-o", str(out), package],
        out.name,
        log,
        say,
        cwd=MODULES / module,
        # A toolchain or workspace from outside would escape the pins.
        env={"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
    )


def _version_flags() -> str:
    """Linker flags for the version that Kubernetes' own build sets; the parts check each other's."""
    major, minor, _ = version().split(".")
    facts = {
        "gitVersion": f"v{version()}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "archive",
        "gitCommit": "0" * 40,
        "buildDate": "2026-01-01T00:00:00Z",
    }
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in facts.items())


def _busybox_context(folder: Path) -> None:
    """An image of busybox alone, with all its applets as links."""
    programs = folder / "rootfs" / "bin"
    programs.mkdir(parents=True)
    for name in ("etc", "home", "root", "tmp", "var"):
        (folder / "rootfs" / name).mkdir()
    (folder / "rootfs" / "tmp").chmod(0o1777)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy2(busybox, programs / "busybox")
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            (programs / applet).symlink_to("busybox")
    accounts = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/sh\n"
    (folder / "rootfs/etc/passwd").write_text(accounts)
    (folder / "rootfs/etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY rootfs/ /\nENV PATH=/bin\nCMD ["sh"]\n')


def _module_file(module: str) -> Path:
    return MODULES / module / "go.mod"


def _there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
