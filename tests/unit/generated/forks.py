"""Runs command lines of `python -m operate`, each in a process of its own that begins with everything imported.

Asked on standard input, one JSON object a line, `arguments`, `environment` and `output`, a file; answers with the exit
status, None where it took longer than `seconds`. Importing takes two seconds, a fork a hundredth of one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from typing import Any

from operate.__main__ import main


def answer(asked: dict[str, Any]) -> int | None:
    """The exit status of one command line; None where it was still running after `seconds`."""
    child = os.fork()
    if child == 0:
        _become(asked)
    deadline = time.monotonic() + asked["seconds"]
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(asked: dict[str, Any]) -> None:
    """The rest of a child's life: the command line, as the interpreter would run it."""
    status = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(asked["environment"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number, opened in enumerate((nothing, output, output)):
            os.dup2(opened, number)
        sys.stdin = open(0)  # noqa: SIM115 - lives as long as the process
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w", errors="backslashreplace")  # noqa: SIM115
        status = main(asked["arguments"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
