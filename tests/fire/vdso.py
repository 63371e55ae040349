"""Sets the clock of one running program forwards or backwards, and leaves the machine's alone.

A Go program reads the time in the vDSO, the code that the kernel maps into each process; no library and no namespace
stands between. What is written there through /proc/PID/mem lands in a copy of the process's own. The code written reads
the machine's clock and adds a number, for CLOCK_REALTIME only: the monotonic clock, by which timers run, goes on as it
does when an administrator or NTP sets a clock. What the kernel stamps itself, such as the times of files, is not moved.
"""

import os
import platform
import re
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# mov eax, SYS_clock_gettime; syscall; return unless the clock is CLOCK_REALTIME (0) ...
_READ = bytes.fromhex("b8e4000000 0f05 85ff 750c")
# ... else add the number that follows to the seconds, return 0.
_ADD = bytes.fromhex("488b050e000000 480106 31c0 c3").ljust(21, b"\x90")
_CODE = _READ + _ADD
_SECTION, _SYMBOL, _DYNSYM = "<IIQQQQIIQQ", "<IBBHQQ", 11


def can_be_set() -> bool:
    """Whether clocks can be set here: the code is written for x86-64, and into another process as root."""
    return platform.machine() == "x86_64" and os.geteuid() == 0


def set_clock(pid: int, ahead: float) -> None:
    """Have a process read a time that is so many whole seconds ahead of the machine's; negative for behind."""
    found = re.search(r"^([0-9a-f]+)-([0-9a-f]+) .*\[vdso\]$", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
    assert found, f"process {pid} has no vDSO"
    start, end = int(found[1], 16), int(found[2], 16)
    with _stopped(pid), Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(start)
        place = start + _function(memory.read(end - start), b"__vdso_clock_gettime")
        memory.seek(place)
        memory.write(_CODE + struct.pack("<q", int(ahead)))


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """No thread may run the code while half of it is written."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _function(image: bytes, name: bytes) -> int:
    """Where a function of an ELF image begins."""
    (table,), (size, count) = struct.unpack_from("<Q", image, 0x28), struct.unpack_from("<HH", image, 0x3A)
    sections = [struct.unpack_from(_SECTION, image, table + number * size) for number in range(count)]
    for section in sections:
        if section[1] == _DYNSYM:
            names = sections[section[6]][4]
            for place in range(section[4], section[4] + section[5], struct.calcsize(_SYMBOL)):
                symbol = struct.unpack_from(_SYMBOL, image, place)
                if image.startswith(name + b"\0", names + symbol[0]):
                    return int(symbol[4])
    raise AssertionError(f"no function {name.decode()}")
