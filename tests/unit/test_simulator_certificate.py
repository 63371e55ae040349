"""The HTTPS endpoint's certificate holds for 90 days, until a fault shortens it; healing restores it."""

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509

from simulator.config import ControlConfig, Secrets
from simulator.control import Control
from tests.unit.loopback import LOOPBACK, LoopThread

DAY = 86400.0


@pytest.fixture
def front(loop: LoopThread, tmp_path: Path) -> Iterator[Control]:
    """A front without services or data stores."""

    async def create() -> Control:
        control = Control(ControlConfig(0, 0, 0, "1.0.0", {}, {}, {}), Secrets(tmp_path), LOOPBACK)
        await control.start()
        return control

    control = loop.run(create())
    yield control
    loop.run(control.stop())


def days_left(front: Control) -> float:
    """Days until the certificate ends that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((LOOPBACK, front.https.port), 5) as plain, context.wrap_socket(plain) as tls:
        shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return (x509.load_der_x509_certificate(shown).not_valid_after_utc.timestamp() - time.time()) / DAY


def fault(front: Control, method: str, **parameters: float) -> requests.Response:
    url = f"http://{LOOPBACK}:{front.main.port}/api/faults/infrastructure/certificate_expiring"
    return requests.request(method, url, json=parameters, timeout=5)


@pytest.mark.parametrize(("parameters", "days"), [({}, 3), ({"days": 20.5}, 20.5), ({"days": -1}, -1)])
def test_new_connections_see_the_expiring_certificate_until_it_is_healed(
    front: Control, parameters: dict[str, float], days: float
) -> None:
    assert days_left(front) == pytest.approx(90, abs=0.01)
    assert fault(front, "PUT", **parameters).status_code == 200
    assert days_left(front) == pytest.approx(days, abs=0.01)
    assert fault(front, "DELETE").json()["was_active"]
    assert days_left(front) == pytest.approx(90, abs=0.01)


def test_another_fault_leaves_the_certificate_alone(front: Control) -> None:
    fault(front, "PUT", days=5)
    before = days_left(front)
    other = f"http://{LOOPBACK}:{front.main.port}/api/faults/infrastructure/high_cpu"
    assert requests.put(other, timeout=5).status_code == 200
    assert days_left(front) == pytest.approx(before, abs=1e-4)


def test_a_certificate_cannot_outlive_the_usual_one(front: Control) -> None:
    answer = fault(front, "PUT", days=91)
    assert answer.status_code == 400
    assert "use a number from -30 to 90" in answer.json()["error"]


def test_the_endpoint_answers_health_over_https(front: Control) -> None:
    url = f"https://{LOOPBACK}:{front.https.port}/health"
    with pytest.warns(match="Unverified HTTPS request"):
        answer = requests.get(url, verify=False, timeout=5)  # noqa: S501
    assert answer.json()["status"] == "ok"
