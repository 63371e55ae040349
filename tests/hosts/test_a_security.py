"""Who gets what from an exporter, and what it may do on its host."""

import re
import socket

import pytest
import requests

from tests.conftest import Figure
from tests.hosts.conftest import BULLSEYE, FRESH, MAIN
from tests.hosts.fleet import USER
from tests.hosts.scene import Room
from tests.running import eventually

# `node_exporter_exposure_bound` of the role.
BOUND = 2.0
CONNECT = """python3 - <<'END'
import socket
try:
    socket.create_connection(("{address}", {port}), 3)
    print("open")
except OSError as error:
    print(type(error).__name__)
END
"""


@pytest.mark.parametrize("name", MAIN)
def test_only_who_has_the_password_gets_metrics_over_tls(installed: Room, name: str) -> None:
    room = installed
    assert "node_filesystem_avail_bytes{" in room.get(name).text
    for password in (None, "wrong", room.password[:-1]):
        refused = room.get(name, password=password)
        assert refused.status_code == 401
        assert "node_" not in refused.text
    plain = requests.get(f"http://{room.address(name)}:9100/metrics", auth=("prometheus", room.password), timeout=5)
    assert plain.status_code == 400
    assert "node_" not in plain.text
    # Nobody else's CA knows it.
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"https://{room.address(name)}:9100/metrics", timeout=5)


@pytest.mark.parametrize("name", MAIN)
def test_exporter_has_no_more_than_it_needs(installed: Room, name: str, figure: Figure) -> None:
    room = installed
    listening = [line.split()[3] for line in room.on(name, "ss -Hltn").splitlines() if ":9100 " in line]
    assert listening == [f"{room.address(name)}:9100"]
    files = "/etc/node_exporter/web.yml /etc/node_exporter/tls.pem"
    assert room.on(name, f"stat -c '%a %U:%G' {files}").split("\n") == ["640 root:node_exporter"] * 2 + [""]
    for file in files.split():
        assert room.fleet.on(name, f"su {USER} -c 'cat {file}'", check=False).returncode == 1
    assert room.on(name, f"ps -o user:20= -p {room.service(name).pid}").strip() == "node_exporter"
    said = room.on(name, "systemd-analyze security --no-pager node_exporter.service")
    exposure = re.search(r"exposure level for .*: ([0-9.]+)", said)
    assert exposure
    assert float(exposure[1]) <= BOUND
    figure(f"hosts: exposure of the service on {room.fleet.hosts[name].release} is {exposure[1]} of 10")


def test_unit_itself_refuses_other_sources(installed: Room) -> None:
    """This host has no firewall: it is systemd's filter that answers nobody but the gateway."""
    room = installed
    other, address = FRESH[1], room.address(BULLSEYE)
    assert room.on(other, CONNECT.format(address=address, port=22)).strip() == "open"
    assert room.on(other, CONNECT.format(address=address, port=9100)).strip() in ("TimeoutError", "timeout")
    with socket.create_connection((address, 9100), timeout=5):
        pass


def test_textfile_and_service_come_back_after_a_restart_of_the_host(installed: Room) -> None:
    room = installed
    prom = "/var/lib/node_exporter/textfile/wallet.prom"
    room.on(BULLSEYE, f"echo 'wallet_backup_age_seconds 42' > {prom} && chmod 0644 {prom}")
    assert "\nwallet_backup_age_seconds 42\n" in room.get(BULLSEYE).text
    before = room.service(BULLSEYE)
    # As after a power cut.
    room.docker("restart", "--time=0", room.fleet.hosts[BULLSEYE].container)

    def served() -> str:
        try:
            return room.get(BULLSEYE).text
        except requests.RequestException:
            return ""

    text = eventually("the exporter answers after the restart", served, every=0.2)
    assert "\nwallet_backup_age_seconds 42\n" in text
    assert re.search(r"^node_exporter_playbook_last_run_timestamp_seconds \d", text, re.MULTILINE)
    assert re.search(r"^node_exporter_certificate_not_after_timestamp_seconds \d", text, re.MULTILINE)
    after = room.service(BULLSEYE)
    assert after.pid
    assert (after.running, after.program, after.enabled) == (before.running, before.program, True)
