"""checkov in a virtual environment of its own: what it needs and what Pulumi needs cannot be installed together."""

import sys
from pathlib import Path

from infra.settings import ROOT
from operate.tools import BuildError, Say, build_once, fingerprint, run_logged, speak

LOCK = ROOT / "operate/checkov/requirements.txt"


def python(say: Say = speak) -> Path:
    """The Python that has checkov, installed from the lock file first where it is not cached. Raises BuildError."""
    # An environment is of one Python and no other.
    key = f"checkov-{fingerprint([LOCK], sys.base_prefix, sys.version)}"
    return build_once(key, lambda out, log: _install(out, log, say), say) / "venv/bin/python"


def _install(out: Path, log: Path, say: Say) -> None:
    venv = out / "venv"
    run_logged(
        [sys.executable, "-m", "uv", "venv", "--python", sys.executable, str(venv)],
        "the environment of checkov",
        log,
        say,
    )
    locked = ["--python", str(venv / "bin/python")]
    hashed = ["--require-hashes", "--requirement", str(LOCK)]
    try:
        run_logged([sys.executable, "-m", "uv", "pip", "install", *locked, *hashed], "checkov", log, say)
    except BuildError:
        # uv knows nothing of an index that only pip was told of.
        run_logged([sys.executable, "-m", "pip", *locked, "install", *hashed], "checkov, with pip", log, say)
