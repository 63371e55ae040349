"""Entry point of `pulumi up`; the program is infra/program.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.program import run

run()
