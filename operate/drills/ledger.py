"""What drills have broken and not yet healed, as a file: what was cut off without warning is healed by the next one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from operate.drills.book import Drill
from operate.drills.sites import DrillError, Site

# A container that has just been stopped may not be ready to be started, nor a service that starts to be healed.
_TRIES, _PAUSE = 12, 5.0


class Ledger:
    """The drills whose faults are in force, by alert, in `path`, in the order in which they were broken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        found = json.loads(path.read_text()) if path.exists() else {}
        self._broken = {name: Drill.model_validate(drill) for name, drill in found.items()}

    @property
    def names(self) -> list[str]:
        """The alerts whose faults are in force."""
        return list(self._broken)

    def broken(self, name: str, drill: Drill) -> None:
        """To be written down before anything is broken."""
        if not drill.ends_by_itself:
            with self._lock:
                self._broken[name] = drill
                self._write()

    def heal(self, name: str, site: Site) -> None:
        """Heal one drill's fault, as it was set; tries for a minute. Raises DrillError."""
        drill = self._broken.get(name)
        if drill is None:
            return  # it ends by itself, or is healed
        for number in range(_TRIES):
            try:
                site.heal(name, drill)
                break
            except DrillError:
                if number == _TRIES - 1:
                    raise
                time.sleep(_PAUSE)
        with self._lock:
            self._broken.pop(name, None)
            self._write()

    def heal_all(self, site: Site) -> Iterator[tuple[str, str]]:
        """Heal what is broken, the last first; gives what could not be healed, with the reason."""
        for name in reversed(self.names):
            try:
                self.heal(name, site)
            except DrillError as error:
                yield name, str(error)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}")
        found = {
            name: drill.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            for name, drill in self._broken.items()
        }
        fresh.write_text(json.dumps(found) + "\n")
        fresh.rename(self._path)
