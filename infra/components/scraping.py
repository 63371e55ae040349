"""Scrape jobs and health probes, from Workloads and from the catalog."""

from collections.abc import Iterable, Sequence
from typing import Any

from infra import surroundings
from infra.catalog import Service
from infra.stack import Stack
from infra.workload import Scrape, SecretFile, SignIn, Workload

# Beside the configuration: below /run/secrets a cluster mounts its own token.
WEB_SECRETS = "/etc/web"
WEB_PASSWORD = f"{WEB_SECRETS}/password"
WEB_CONFIG = f"{WEB_SECRETS}/web.yml"
HOSTS_PASSWORD = f"{WEB_SECRETS}/hosts-password"
HOSTS_CA = "/etc/prometheus/hosts-ca.crt"

# The prober is asked about the target; the series carry the target's address.
THROUGH_BLACKBOX: tuple[dict[str, object], ...] = (
    {"source_labels": ["__address__"], "target_label": "__param_target"},
    {"source_labels": ["__param_target"], "target_label": "instance"},
    {"target_label": "__address__", "replacement": "blackbox-exporter:9115"},
)


def of_service(stack: Stack, service: Service) -> Scrape:
    """The scrape of a catalog entry."""
    return Scrape(
        job=service.name,
        targets=(stack.surroundings.address(service),),
        labels={"service": service.name, "team": service.team, "tier": service.tier},
        path=service.metrics_path,
        rename=service.rename,
    )


def of_health(stack: Stack, service: Service) -> Scrape:
    """The probe of a catalog entry's /health; one that takes longer than the module's 4 s has failed."""
    return Scrape(
        job="health",
        targets=(f"http://{stack.surroundings.address(service)}{service.health_path}",),
        labels={"service": service.name, "team": service.team, "tier": service.tier},
        path="/probe",
        params={"module": ("health",)},
        relabel=THROUGH_BLACKBOX,
    )


def of_certificate(address: str) -> Scrape:
    """The probe that says when the certificate served at host:port ends."""
    return Scrape(
        job="certificates",
        targets=(address,),
        labels={"service": "tls", "team": "platform"},
        path="/probe",
        params={"module": ("tls",)},
        relabel=THROUGH_BLACKBOX,
    )


def of_hosts(stack: Stack) -> list[Scrape]:
    """The node exporters of the bare hosts: one job, whose series are like those of every other node exporter."""
    found = stack.inventory
    if found is None:
        return []
    sign_in = SignIn(found.user, HOSTS_PASSWORD, HOSTS_CA)
    return [
        Scrape(
            job="hosts",
            targets=(host.target,),
            labels={
                "job": "node",
                "instance": host.name,
                "service": stack.catalog.host_service(host.name),
                "team": host.team,
                "group": ",".join(host.groups),
            },
            sign_in=sign_in,
        )
        for host in found.hosts
    ]


def scrape_configs(stack: Stack, workloads: Sequence[Workload], more: Iterable[Scrape]) -> list[dict[str, Any]]:
    """Prometheus' scrape_configs: workloads, bare hosts, `more`, services, the probes, then the surroundings'.

    Scrapes of one job name become one entry with several target groups.
    """
    around, services = stack.surroundings, stack.catalog.services
    found = [
        (_entry(stack, scrape, workload.asks_for_password), around.of_workload(workload, scrape))
        for workload in workloads
        for scrape in workload.scrapes
    ]
    found += [(_entry(stack, scrape), surroundings.fixed(scrape)) for scrape in (*of_hosts(stack), *more)]
    for service in services:
        scrape = of_service(stack, service)
        found.append((_entry(stack, scrape), around.of_service(service, scrape)))
    probes = [*(of_health(stack, service) for service in services), *map(of_certificate, stack.settings.tls_probes)]
    found += [(_entry(stack, scrape), surroundings.fixed(scrape)) for scrape in probes]
    jobs: dict[str, dict[str, Any]] = {}
    for entry, places in found:
        job = jobs.setdefault(entry["job_name"], entry)
        for key, value in places.items():
            # Probes of one kind share their steps, their targets add up.
            job[key] = value if key == "relabel_configs" else [*job.get(key, []), *value]
    return [*(_in_order(job) for job in jobs.values()), *around.own_jobs(workloads)]


def _in_order(job: dict[str, Any]) -> dict[str, Any]:
    """Discovery before what is done with the found: as people read and write the file."""
    last = ("relabel_configs", "metric_relabel_configs")
    return {key: job[key] for key in (*(k for k in job if k not in last), *(k for k in last if k in job))}


def _entry(stack: Stack, scrape: Scrape, asks_for_password: bool = False) -> dict[str, Any]:
    entry: dict[str, Any] = {"job_name": scrape.job, "metrics_path": scrape.path}
    if scrape.params:
        entry["params"] = {key: list(values) for key, values in scrape.params.items()}
    if scrape.sign_in:
        entry["scheme"] = "https"
        entry["basic_auth"] = {"username": scrape.sign_in.user, "password_file": scrape.sign_in.password_file}
        entry["tls_config"] = {"ca_file": scrape.sign_in.ca_file, "min_version": "TLS12"}
    if asks_for_password:
        entry["basic_auth"] = web_credentials(stack)
    if scrape.rename:
        entry["metric_relabel_configs"] = [
            {
                "source_labels": ["__name__"],
                # Histograms arrive as three families; the group is empty for every other type.
                "regex": f"{spoken}(_bucket|_sum|_count)?",
                "target_label": "__name__",
                "replacement": name + "${1}",
            }
            for spoken, name in scrape.rename.items()
        ]
    return entry


def web_credentials(stack: Stack) -> dict[str, str]:
    """What Prometheus signs in with at its peers, at Alertmanager and at itself."""
    return {"username": stack.settings.web_user, "password_file": WEB_PASSWORD}


def web_arguments(stack: Stack) -> tuple[str, ...]:
    """The flag that makes a Prometheus tool ask for the password, where the settings name a user."""
    return (f"--web.config.file={WEB_CONFIG}",) if stack.settings.web_user else ()


def web_secrets(stack: Stack) -> tuple[SecretFile, ...]:
    """The files of a tool that asks for the password, and of what asks it: the probes and the reloader."""
    if not stack.settings.web_user:
        return ()
    return (
        SecretFile(WEB_CONFIG, "web-password-hash", form=f"basic_auth_users:\n  {stack.settings.web_user}: {{}}\n"),
        SecretFile(f"{WEB_SECRETS}/authorization", "web-authorization"),
    )
