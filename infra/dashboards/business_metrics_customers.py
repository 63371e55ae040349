"""Customers who come, register and have their identity checked: two rows of the business page."""

from infra.dashboards.kit import links
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import bars, graph
from infra.dashboards.kit.units import COUNT, PER_HOUR, RATIO, SECONDS


def coming(source: Source) -> list[Panel]:
    """Who comes, against a week ago, and how far those get who register."""
    started = source.counted("step:auth_registration_steps:rate5m", "", "1d")
    return [
        graph(
            "Daily active users against a week ago",
            [Query("sum(job:dau:each2m)", "now"), Query("sum(job:dau:each2m offset 1w)", "a week ago")],
            unit=COUNT,
            what="Distinct customers signed in during the day before each moment, now and a week earlier.",
            wrong="A sudden fall is a sign-in that does not work or a deployment that counts differently.",
            width=8,
        ),
        bars(
            "Registrations, last 24 hours",
            Query(f"sort_desc(sum by (step) ({started}))", "{{step}}"),
            unit=COUNT,
            links=[links.to("Registration and sign-in", "auth-registration")],
            what="How many started, verified their address and completed their registration.",
            wrong="The first step that loses most is where to look: mail for the second, the form for the third.",
        ),
        graph(
            "Registrations that get through",
            [
                Query(
                    'avg by (service, step) (step:auth_registration_steps:started_ratio1h{step!="started"})', "{{step}}"
                )
            ],
            unit=RATIO,
            links=links.TO_ACCOUNTS,
            what="Of those who started, the share that reached each later step, over an hour.",
            wrong="Register yourself, and see whether the mail comes; then look at the latest release.",
            width=8,
        ),
    ]


def checked(source: Source) -> list[Panel]:
    """Identity checks: those that wait, their pace and their outcome."""
    return [
        graph(
            "Identity checks waiting",
            [Query("max by (service) (service:kyc_pending:max)", "{{service}}")],
            unit=COUNT,
            limits=source.limits("KYCBacklog", capability="kyc"),
            links=links.TO_SERVICE,
            what="Applications that wait for a decision.",
            wrong="See whether the provider of checks answers; else it takes more people for manual reviews.",
        ),
        graph(
            "Oldest identity check",
            [Query("max by (service) (service:kyc_oldest_pending_age_seconds:max)", "{{service}}")],
            unit=SECONDS,
            links=links.TO_SERVICE,
            what="How long the application has waited that waits longest; beyond a day it warns, whatever the number.",
            wrong="Find the application: often the provider never answered and nobody asked again.",
        ),
        graph(
            "Identity checks an hour",
            [
                Query("2 * sum(service:kyc_submitted:increase30m)", "submitted"),
                Query("2 * sum by (decision) (service:kyc_decisions:increase30m)", "{{decision}}"),
            ],
            unit=PER_HOUR,
            what="Applications submitted and decided each hour, over half an hour.",
            wrong="Submitted above decided for hours: the number that waits grows. Rejected up: look at their reasons.",
        ),
        graph(
            "Identity checks approved",
            [Query("min by (service) (service:kyc_approved:ratio6h)", "{{service}}")],
            unit=RATIO,
            maximum=1,
            limits=source.limits("LowKYCApprovalRate", below=True, capability="kyc"),
            links=links.TO_SERVICE,
            what="Share of decisions that approved, over 6 hours; nothing below 30 decisions.",
            wrong="Compare rejected uploads with the app's last version; many alike from new accounts is an attack.",
        ),
    ]
