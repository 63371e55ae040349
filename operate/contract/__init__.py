"""`make check-service`: does a running service speak the contract, and what would mend it?"""

import argparse
import sys

from rich import box
from rich.console import Console
from rich.table import Table

from infra import catalog
from infra.catalog import Catalog, Service
from infra.errors import InputError, quoted
from operate.contract import health, metrics
from operate.contract.answers import Finding, get


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--url", required=True, help="where the service answers, e.g. http://localhost:3005")
    parser.add_argument("--service", required=True, help="its name in configs/services.yaml")
    parser.add_argument("--capabilities", default="", help="what it can do, where the catalog does not know it yet")


def run(options: argparse.Namespace) -> int:
    """Check a running service against the contract; exit status 1 where it does not keep it."""
    known = catalog.load()
    service = _service(known, options.service, [c for c in options.capabilities.split(",") if c])
    url = options.url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise InputError(
            f"URL={options.url} is no address of a service; give one like http://localhost:{service.port}."
        )
    found = [
        *metrics.check(known, service, get(url + service.metrics_path)),
        *health.check(known, service, get(url + service.health_path)),
    ]
    _print(service, found)
    return 1 if any(finding.wrong for finding in found) else 0


def _service(known: Catalog, name: str, capabilities: list[str]) -> Service:
    if name in known.by_name:
        return known.by_name[name]
    unknown = set(capabilities) - known.contract.keys()
    if not capabilities or unknown:
        asked = f"; {', '.join(sorted(unknown))} is none" if unknown else ""
        raise InputError(
            f"configs/services.yaml has no service {quoted(name)}; add its entry, or say what it can do with "
            f"CAPABILITIES=, of {', '.join(known.contract)}{asked}."
        )
    return Service(
        name=name,
        description="not in the catalog yet",
        port=80,
        team=next(iter(known.teams)),
        tier="standard",
        capabilities=tuple(capabilities),
    )


def _print(service: Service, found: list[Finding]) -> None:
    grid = Table(title=f"{service.name}: {', '.join(service.capabilities)}", title_justify="left", box=box.SIMPLE_HEAD)
    grid.add_column("what", no_wrap=True)
    grid.add_column("", no_wrap=True)
    grid.add_column("found", overflow="fold")
    grid.add_column("to mend it", overflow="fold")
    for finding in found:
        mark = "[bold red]wrong[/]" if finding.wrong else "[green]ok[/]"
        grid.add_row(finding.what, mark, finding.found, finding.remedy)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(grid)
    renames = {old: new for finding in found for old, new in finding.rename.items()}
    if renames:
        print(
            "These names mean the same. Either rename them in the service, or in its entry of configs/services.yaml:\n"
        )
        print("    rename:")
        for old, new in renames.items():
            print(f"      {old}: {new}")
        print()
    wrong = sum(finding.wrong for finding in found)
    print(
        f"{service.name} keeps the contract: {len(found)} checks"
        if not wrong
        else f"{wrong} of {len(found)} checks fail"
    )
