"""Refuses files that hold what no repository should: no_secrets.py FILE..."""

import re
import sys
from pathlib import Path

NAMES = re.compile(
    r"(^|/)(\.secrets|\.pulumi-state)/|(^|/)(kubeconfig[^/]*|\.env|id_(rsa|ecdsa|ed25519))$|\.(key|p12|pfx)$"
)
TEXTS = {
    "a private key": re.compile(r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----\s*[A-Za-z0-9+/]{16}"),
    "a kubeconfig's key": re.compile(r"client-key-data: *[A-Za-z0-9+/=]{16}"),
    "an access key of AWS": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}"),
    "a token of Pulumi": re.compile(r"\bpul-[0-9a-f]{40}\b"),
    "a token of Slack": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10}"),
    "an address of a Slack webhook": re.compile(r"hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20}"),
}


def faults(path: Path) -> list[str]:
    """What is wrong with a file, in words."""
    if NAMES.search(path.as_posix()):
        return ["is a file of secrets by its name"]
    text = path.read_text(errors="ignore")
    return [f"holds {what}" for what, pattern in TEXTS.items() if pattern.search(text)]


if __name__ == "__main__":
    found = [
        f"{name}: {words}; take it out and keep it elsewhere" for name in sys.argv[1:] for words in faults(Path(name))
    ]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
