"""The certificate of the exchange's HTTPS endpoint, which a fault lets run out."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import trustme

from simulator.faults import FaultBook, FaultSpec, Parameter

CERTIFICATE_EXPIRING = "certificate_expiring"
_USUAL_DAYS = 90.0
_ORGANIZATION = "Simulated exchange"

CERTIFICATE_FAULTS: tuple[FaultSpec, ...] = (
    FaultSpec(
        CERTIFICATE_EXPIRING,
        "The certificate of the exchange's HTTPS endpoint ends soon.",
        (Parameter("days", "Days it is still valid; negative when it has ended.", 3, -30, _USUAL_DAYS),),
    ),
)


class Certificate:
    """A certificate for `name` from an authority that nobody trusts; both live in memory only.

    `context` is the server's side of TLS: connections made after a renewal see the new certificate.
    """

    def __init__(self, faults: FaultBook, name: str) -> None:
        self._faults, self._name = faults, name
        self._authority = trustme.CA(organization_name=_ORGANIZATION)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.renew()

    def renew(self) -> None:
        """Issue a certificate that holds as long as the fault says, else 90 days."""
        days = self._faults.number(CERTIFICATE_EXPIRING, "days", _USUAL_DAYS)
        until = datetime.now(UTC) + timedelta(days=days)
        issued = self._authority.issue_cert(self._name, organization_name=_ORGANIZATION, not_after=until)
        issued.configure_cert(self.context)
