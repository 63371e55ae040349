"""The notification inbox: receives what Alertmanager sends where no real receiver is configured."""

from infra.stack import Stack
from infra.workload import GIB, MIB, Port, Probe, Resources, Scrape, Security, Storage, Workload


def build(stack: Stack) -> Workload:
    """Slack, PagerDuty, webhook and SMTP in, a page and JSON out."""
    return Workload(
        name="inbox",
        kind="stateful",
        image=stack.images["simulator"],
        team="platform",
        part_of="platform",
        security=Security(65532, 65532),
        resources=Resources(memory=96 * MIB, cpu=0.2),
        args=("inbox",),
        ports=(Port("http", 8025, stack.settings.inbox_port), Port("smtp", 1025)),
        storage=Storage("/data", 1 * GIB),
        readiness=Probe("", 8025),
        scrapes=(Scrape("inbox", ("inbox:8025",), {"service": "inbox", "team": "platform"}),),
    )
