"""What a service answers, and what a check makes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import requests

from infra.errors import InputError

# The scrape and the probe of the platform give up after as long (scrape_timeout, the prober's timeout).
SECONDS = 5


@dataclass(frozen=True)
class Finding:
    """One check: of what, what was found, and what mends it if anything is wrong.

    `rename` maps a name to the contract's.
    """

    what: str
    found: str
    remedy: str = ""
    rename: dict[str, str] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.remedy)


@dataclass(frozen=True)
class Answer:
    """A service's answer to GET `url`, and how many seconds it took."""

    url: str
    status: int
    body: str
    seconds: float


def get(url: str) -> Answer:
    """Ask once. Raises InputError where nothing answers."""
    start = time.monotonic()
    try:
        answer = requests.get(url, timeout=SECONDS, headers={"Accept": "text/plain;version=0.0.4"})
    except requests.RequestException as error:
        raise InputError(
            f"{url} does not answer within {SECONDS} s ({type(error).__name__}); start the service, or correct URL."
        ) from None
    answer.encoding = "utf-8"
    return Answer(url, answer.status_code, answer.text, time.monotonic() - start)
