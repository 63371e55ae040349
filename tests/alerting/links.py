"""The links of a message, and whether a person can follow them."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAMES = {"Runbook", "Dashboard", "Graph", "Silence"}


def slack_links(message: dict[str, Any]) -> dict[str, str]:
    """Where the links of a Slack message lead, by the word one clicks on; the last one of a word."""
    text = message["raw"]["attachments"][0]["text"]
    return {word: url for url, word in re.findall(r"<(\S+?)\|(\w+)>", text)}


def pagerduty_links(message: dict[str, Any]) -> dict[str, str]:
    """Where the links of a PagerDuty event lead, by their text."""
    return {link["text"]: link["href"] for link in message["raw"]["links"]}


def is_well_formed(url: str) -> bool:
    """Whether it is absolute and has nothing that ends a link early or was left of a template."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and re.search(r'[\s<>|{}"]', url) is None


def silence_filter(url: str) -> str:
    """The matchers that Alertmanager's page fills in for this link."""
    path, _, query = urlsplit(url).fragment.partition("?")
    assert path == "/silences/new", url
    (text,) = parse_qs(query, strict_parsing=True)["filter"]
    return text
