"""What node-exporters.yml put on a host is gone after remove-node-exporters.yml, and no run has told a secret."""

from tests.conftest import Figure
from tests.hosts.conftest import FIREWALLD, FRESH, UFW
from tests.hosts.scene import ALL, Room, differences, picture

GONE = (UFW, FIREWALLD)


def test_removal_leaves_nothing_and_tells_of_a_host_that_is_down(installed: Room, figure: Figure) -> None:
    room, down = installed, FRESH[2]
    room.docker("kill", room.fleet.hosts[down].container)
    present = {name: differences(room.before[name], picture(room, name)) for name in GONE}
    run = room.play("remove-node-exporters", *ALL, "--diff", "--timeout=8", "--limit", ",".join((*GONE, down)))
    assert run.outcomes == {**dict.fromkeys(GONE, "removed"), down: "unreachable"}
    assert run.code != 0
    assert "ssh" in run.reasons[down].lower()
    for name in GONE:
        # The picture would have shown it.
        assert len(present[name]) > 20
        assert differences(room.before[name], picture(room, name)) == []
        assert room.fleet.on(name, "pgrep node_exporter", check=False).stdout == ""
    figure(f"hosts: the removal from {len(GONE)} hosts, with a third that is down, took {run.seconds:.0f} s")


def test_second_removal_changes_nothing(installed: Room) -> None:
    room = installed
    run = room.play("remove-node-exporters", *ALL, "--limit", ",".join(GONE))
    assert run.code == 0, run.text[-3000:]
    assert run.changed == dict.fromkeys(GONE, 0)
    assert run.outcomes == dict.fromkeys(GONE, "unchanged")


def test_no_run_told_a_secret(installed: Room) -> None:
    """Whatever the tests have run before, some of it with -vvv and --diff, and whether it failed or not."""
    room = installed
    assert room.secrets
    together = "\n".join(room.said)
    assert "TASK [node_exporter : " in together
    assert [secret for secret in room.secrets if secret in together] == []
    assert "PRIVATE KEY" not in together
