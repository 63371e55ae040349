"""From a bare host to an upgraded one, as one story: rehearsed, installed, run again, upgraded, and what fails then."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Figure
from tests.hosts import certificates, releases
from tests.hosts.conftest import BULLSEYE, FIREWALLD, FRESH, MAIN, UFW
from tests.hosts.releases import BROKEN, OLDER, VERSION
from tests.hosts.scene import Room, Run, Service, command_lines, differences, picture, watched
from tests.running import PATIENCE, eventually

BARE = FRESH[0]
ARCHIVE = f"{releases.name(VERSION)}.tar.gz"
# Programs that are no exporters: correct files, as pinned.
EXITS = b"#!/bin/sh\necho no disk today >&2\nexit 1\n"
SLEEPS = b"#!/bin/sh\nexec sleep 600\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where releases lie on the controller."""
    return tmp_path_factory.mktemp("releases")


@pytest.fixture(scope="module")
def mirror(files: Path) -> Iterator[str]:
    """An internal mirror with an archive as the project makes it, and the same with one byte changed."""
    content = releases.archive()
    for folder, told in (("whole", content), ("flipped", releases.flipped(content))):
        (files / folder).mkdir()
        (files / folder / ARCHIVE).write_bytes(told)
    with releases.mirror(files) as address:
        yield address


def pictures(room: Room, *names: str) -> dict[str, dict[str, str]]:
    """Pictures of hosts, taken beside each other."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(lambda name: picture(room, name), names), strict=True))


def test_rehearsal_says_everything_and_changes_nothing(room: Room, files: Path) -> None:
    room.set(UFW, **releases.older(files))
    room.before.update(pictures(room, UFW, FIREWALLD))
    run = room.install("--check", "--diff", "--limit", UFW)
    assert run.code == 0, run.text[-3000:]
    assert run.outcomes == {UFW: "installed"}
    assert "(rehearsed: nothing was changed)" in run.text
    assert f"+  --web.listen-address={room.address(UFW)}:9100" in run.text
    assert run.changed[UFW] >= 5
    assert "PRIVATE KEY" not in run.text
    assert differences(room.before[UFW], picture(room, UFW)) == []
    assert not room.fleet.secrets.exists()


def test_first_run_installs(room: Room, figure: Figure) -> None:
    with watched(command_lines, 0.3) as listed:
        run = room.install("-vvv", "--diff", "--limit", ",".join(MAIN))
    assert run.code == 0, run.text[-3000:]
    assert run.outcomes == dict.fromkeys(MAIN, "installed")
    room.learn_secrets(*MAIN)
    assert len(room.secrets) > 3 * len(MAIN)
    together = "\n".join(listed)
    # It saw the processes of the hosts too.
    assert "/opt/node_exporter/current/node_exporter --web.listen-address" in together
    assert [secret for secret in room.secrets if secret in together] == []
    for name in MAIN:
        service = room.service(name)
        assert (service.active, service.enabled, service.user) == (True, True, "node_exporter")
        assert room.version(name) == (OLDER if name == UFW else VERSION)
    figure(f"hosts: the first run on {len(MAIN)} hosts took {run.seconds:.0f} s")


def test_second_run_changes_nothing_but_a_certificate_that_ends_soon(room: Room, figure: Figure) -> None:
    """It has less than 30 days left; the exporter shows the new one without a restart."""
    secrets, address = room.fleet.secrets, room.address(BULLSEYE)
    late = certificates.made(secrets, address, days=29, name=BULLSEYE)
    pem = (late.certificate + late.key).decode()
    room.on(BULLSEYE, f"cat > /etc/node_exporter/tls.pem <<'END'\n{pem}END")
    assert certificates.shown(secrets, address) == late.serial
    before = {name: room.service(name) for name in MAIN}
    run = room.install("-vvv", "--diff", "--limit", ",".join(MAIN))
    assert run.code == 0, run.text[-3000:]
    # The certificate, and the copy of it for the way back.
    assert run.changed == {UFW: 0, FIREWALLD: 0, BULLSEYE: 2}
    assert run.outcomes == {UFW: "unchanged", FIREWALLD: "unchanged", BULLSEYE: "changed"}
    assert {name: room.service(name) for name in MAIN} == before
    assert certificates.shown(secrets, address) != late.serial
    assert room.version(BULLSEYE) == VERSION
    room.learn_secrets(BULLSEYE)
    figure(f"hosts: the second run on {len(MAIN)} hosts took {run.seconds:.0f} s")


@dataclass(frozen=True)
class Upgraded:
    """A run that upgrades one host and fails on the three others, what was there before, and who served meanwhile."""

    run: Run
    before: dict[str, Service]
    certificate: int
    refused: str
    served: list[tuple[float, str]]


@pytest.fixture(scope="module")
def upgraded(installed: Room, files: Path, mirror: str) -> Upgraded:
    """An archive from a mirror, the same with one byte changed, and two programs that do not serve."""
    room, whole = installed, (files / "whole" / ARCHIVE).read_bytes()
    for name, folder in ((UFW, "whole"), (BULLSEYE, "flipped")):
        room.set(name, **releases.settings(VERSION, f"{mirror}/{folder}", ARCHIVE, whole, archive=True))
    room.set(BARE, **releases.broken(files / "sleeps", SLEEPS))
    # With another certificate and port too, so that there is more than a program to take back.
    given = certificates.made(room.fleet.secrets, room.address(FIREWALLD), days=90)
    (files / "given.crt").write_bytes(given.certificate)
    (files / "given.key").write_bytes(given.key)
    room.set(FIREWALLD, certificate=str(files / "given.crt"), certificate_key=str(files / "given.key"))
    room.set(FIREWALLD, port=9109, **releases.broken(files / "exits", EXITS))

    def served() -> tuple[float, str]:
        return time.monotonic(), room.serving(UFW)

    before = {name: room.service(name) for name in MAIN}
    certificate = certificates.shown(room.fleet.secrets, room.address(FIREWALLD))
    hosts = ",".join((*MAIN, BARE))
    with watched(served, 0.1) as seen:
        run = room.install("-vvv", "--diff", "--limit", hosts, "-e", "__node_exporter_patience_seconds=3")
    # The certificate stays given, and is served once the program is one that works.
    room.set(FIREWALLD, port=None, **releases.DEFAULT)
    for name in (BULLSEYE, BARE):
        room.set(name, **releases.DEFAULT)
    return Upgraded(run, before, certificate, f"/opt/node_exporter/{VERSION}-{releases.digest(whole)[:8]}", seen)


def test_old_release_serves_until_the_new_one_does(installed: Room, upgraded: Upgraded, figure: Figure) -> None:
    room, run = installed, upgraded.run
    assert run.outcomes[UFW] == "upgraded"
    assert run.reasons[UFW].startswith(f"({OLDER}-")
    versions = [version for _, version in upgraded.served]
    first = versions.index(VERSION)
    last = max(place for place, version in enumerate(versions) if version == OLDER)
    assert set(versions[: last + 1]) == {OLDER}
    assert set(versions[first:]) == {VERSION}
    gap = upgraded.served[first][0] - upgraded.served[last][0]
    assert gap < 10 * PATIENCE
    figure(f"hosts: during an upgrade the exporter was away for {gap:.1f} s at most")
    before, after = upgraded.before[UFW], room.service(UFW)
    old, new = before.program.split("/")[-2], after.program.split("/")[-2]
    # Side by side.
    laid = room.on(UFW, "ls /opt/node_exporter; readlink /opt/node_exporter/current").split()
    assert laid == [*sorted((old, new)), "current", new]
    assert f"/opt/node_exporter/{new}" == upgraded.refused
    assert after.running == after.written != before.running
    assert room.get(UFW, password=None).status_code == 401


def test_download_that_is_not_the_pinned_one_is_refused(installed: Room, upgraded: Upgraded) -> None:
    room, run = installed, upgraded.run
    assert run.code != 0
    assert run.outcomes[BULLSEYE] == "failed"
    assert "checksum" in run.reasons[BULLSEYE]
    assert room.service(BULLSEYE) == upgraded.before[BULLSEYE]
    assert room.version(BULLSEYE) == VERSION
    assert room.on(BULLSEYE, f"find {upgraded.refused} {upgraded.refused}.partial -type f 2>/dev/null || true") == ""


def test_upgrade_that_does_not_serve_is_taken_back(installed: Room, upgraded: Upgraded) -> None:
    room, run, before = installed, upgraded.run, upgraded.before[FIREWALLD]
    assert run.outcomes[FIREWALLD] == "failed"
    assert "does not answer over TLS" in run.reasons[FIREWALLD]
    assert "no disk today" in run.reasons[FIREWALLD]
    assert f"Release {before.program.split('/')[-2]} serves again" in run.reasons[FIREWALLD]
    # Through the firewall, at the old port.
    assert eventually("it serves again", lambda: room.serving(FIREWALLD)) == VERSION
    after = room.service(FIREWALLD)
    assert after.pid != before.pid
    assert (after.program, after.running, after.written) == (before.program, before.running, before.written)
    assert room.get(FIREWALLD, password=None).status_code == 401
    assert "9109" not in room.firewall(FIREWALLD)
    assert certificates.shown(room.fleet.secrets, room.address(FIREWALLD)) == upgraded.certificate


def test_first_install_that_does_not_serve_is_stopped(installed: Room, upgraded: Upgraded) -> None:
    """test_c_crash.py installs there what does."""
    run, service = upgraded.run, installed.service(BARE)
    assert run.outcomes[BARE] == "failed"
    assert "Nothing was verified here before, so the service is stopped" in run.reasons[BARE]
    assert (service.active, service.enabled, service.pid) == (False, False, 0)
    assert BROKEN in installed.on(BARE, "ls /opt/node_exporter")
