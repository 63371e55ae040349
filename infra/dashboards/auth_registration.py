"""Can customers get in, and can new ones join? Sign-in, registration and the service behind both."""

from infra.dashboards import auth_registration_service
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import SOME_EXPECTED, Limits
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import bars, graph, number, worst
from infra.dashboards.kit.units import COUNT, FINE_RATIO, PER_SECOND, RATIO

CHOSEN = variables.ACCOUNTS.chosen

TO_SECURITY = [links.to("Security and anomalies", "security-anomaly", service="service"), links.to_logs()]
TO_BUSINESS = [links.to("Business metrics", "business-metrics"), links.to_logs()]

# Nobody is a fault only under the conditions of LoginsStopped and RegistrationsStopped; otherwise it is no figure.
SIGN_INS = f"""bottomk(1,
  service:auth_sign_ins:increase15m{{{CHOSEN}}} > 0
  or
  service:auth_sign_ins:increase15m{{{CHOSEN}}}
    and on (service)
      service:auth_sign_ins:usual15m > on (service) group_left () alert:threshold{{alert="LoginsStopped"}}
    and on () (sum(gateway_client_sources) > 0.2 * sum(gateway_client_sources offset 1d)))"""
REGISTRATIONS = f"""bottomk(1,
  service:auth_registrations:increase20m{{{CHOSEN}}} > 0
  or
  service:auth_registrations:increase20m{{{CHOSEN}}}
    and on (service)
      service:auth_registrations:usual20m > on (service) group_left () alert:threshold{{alert="RegistrationsStopped"}}
    and on (service) service:auth_sign_ins:increase15m > 0)"""


def build(source: Source) -> Page:
    """uid auth-registration."""
    draft = Draft(
        "auth-registration",
        "Registration and sign-in",
        "Whether customers get in and new ones join, where they get lost, and how the service behind it does.",
        [variables.ACCOUNTS],
        with_logs=True,
    )
    # "All" also takes in other services, whose HTTP metrics and logs have the same names.
    accounts = source.having("accounts")
    of_service = f'{CHOSEN}, service=~"{accounts}"'
    draft.row("Can customers get in?", *_answer(source, of_service))
    draft.row("Are there as many as usual?", *_usual(source))
    draft.row("Where do newcomers get lost?", *_registration(source))
    draft.row("Why are sign-ins refused, and who is here?", *_sign_in(source))
    draft.row("How does the service itself do?", *auth_registration_service.signals(source, of_service))
    draft.row("What does it reach, and what does it say?", *auth_registration_service.detail(accounts, of_service))
    return draft.page()


def _answer(source: Source, of_service: str) -> list[Panel]:
    return [
        number(
            "Sign-ins in 15 minutes",
            Query(SIGN_INS, "{{service}}"),
            unit=COUNT,
            limits=SOME_EXPECTED,
            absent="none usual",
            links=links.TO_SERVICE,
            what="Successful sign-ins of the last 15 minutes, of the service with the fewest.",
            wrong="At 0 customers are locked out: sign in yourself, then check the latest release and the gateway.",
        ),
        number(
            "Sign-ins that fail",
            Query(
                worst(f"service:auth_login_failures:ratio_rate5m{{{CHOSEN}}}", "LoginFailureRateHigh"), "{{service}}"
            ),
            unit=RATIO,
            limits=source.limits("LoginFailureRateHigh"),
            absent="few sign-ins",
            links=TO_SECURITY,
            what="Share of sign-ins refused over 5 minutes, from 30 sign-ins on.",
            wrong="The reasons below tell an attack (bad passwords, unknown users) from a fault (second factor).",
        ),
        number(
            "Registrations in 20 minutes",
            Query(REGISTRATIONS, "{{service}}"),
            unit=COUNT,
            limits=Limits(warning=1, below=True),
            absent="none usual",
            links=links.TO_SERVICE,
            what="Registrations finished in the last 20 minutes, of the service with the fewest.",
            wrong="At 0 register yourself: the step at which you get stuck is the one to repair.",
        ),
        number(
            "Registrations that fail",
            Query(
                worst(f"service:auth_registration_failures:ratio_rate10m{{{CHOSEN}}}", "RegistrationFailureRateHigh"),
                "{{service}}",
            ),
            unit=RATIO,
            limits=source.limits("RegistrationFailureRateHigh"),
            absent="few to judge",
            links=links.TO_SERVICE,
            what="Share of finished registrations that failed over 10 minutes, from 10 registrations on.",
            wrong="Check that mail and SMS arrive, then the validation rules of the latest release.",
        ),
        number(
            "Dependencies out of reach",
            Query(f"count(service_dependency_up{{{of_service}}} == 0) or vector(0)"),
            unit=COUNT,
            limits=Limits(warning=1),
            links=[links.to("Databases and caches", "database-cache")],
            what="Connections from an instance to a data store that it says do not work.",
            wrong="The strip at the end names the store. If it is up for others, check password and network policy.",
        ),
        number(
            "Error ratio",
            Query(worst(f"job:http_error_rate{{{of_service}}}", "HighErrorRate"), "{{service}}"),
            unit=FINE_RATIO,
            limits=source.limits("HighErrorRateWarning", "HighErrorRate"),
            absent="no traffic",
            links=links.TO_SERVICE,
            what="Requests answered 5xx over 5 minutes.",
            wrong="Read the log lines at the end; roll back if the errors began with a deployment.",
        ),
    ]


def _usual(source: Source) -> list[Panel]:
    return [
        graph(
            "Sign-ins, now and usual",
            [
                Query(f"service:auth_sign_ins:increase15m{{{CHOSEN}}}", "{{service}} now"),
                Query(f"service:auth_sign_ins:usual15m{{{CHOSEN}}}", "{{service}} usual"),
            ],
            unit=COUNT,
            limits=source.limits(None, "LoginsStopped", below=True),
            links=links.TO_SERVICE,
            what="Successful sign-ins of 15 minutes, and at this time yesterday or a week ago, the fewer. "
            "None at all pages only while the usual is above the line.",
            wrong="Far below the usual with normal traffic at the gateway: try the sign-in page and a second factor.",
        ),
        graph(
            "Registrations, now and usual",
            [
                Query(f"service:auth_registrations:increase20m_by_minute{{{CHOSEN}}}", "{{service}} now"),
                Query(f"service:auth_registrations:usual20m_by_minute{{{CHOSEN}}}", "{{service}} usual"),
            ],
            unit=COUNT,
            limits=source.limits("RegistrationsStopped", below=True),
            links=links.TO_SERVICE,
            what="Registrations finished in 20 minutes, and at this time yesterday or a week ago, the fewer. "
            "None at all alerts only while the usual is above the line.",
            wrong="Far above the usual without a campaign is bots; far below, see which step loses people.",
        ),
    ]


def _registration(source: Source) -> list[Panel]:
    reached = "step:auth_registration_steps:started_ratio1h"
    return [
        graph(
            "Registrations, by result",
            [Query(f"result:auth_registrations:rate5m{{{CHOSEN}}}", "{{service}} {{result}}")],
            unit=PER_SECOND,
            stacked=True,
            links=links.TO_SERVICE,
            what="Registrations that ended a second, over 5 minutes.",
            wrong="Failures that take the place of successes are our fault; failures on top of them are bots.",
        ),
        graph(
            "Registrations that fail",
            [Query(f"service:auth_registration_failures:ratio_rate10m{{{CHOSEN}}}", "{{service}}")],
            unit=RATIO,
            limits=source.limits("RegistrationFailureRateHigh"),
            links=links.TO_SERVICE,
            what="Share of finished registrations that failed over 10 minutes, from 10 registrations on.",
            wrong="A jump at a deployment mark: roll back. Without one: ask the mail and SMS providers.",
        ),
        bars(
            "Reached of those who started",
            Query(f"sort_desc({reached}{{{CHOSEN}}})", "{{service}} {{step}}"),
            unit=RATIO,
            maximum=1,
            links=links.TO_SERVICE,
            what="Share of registrations begun in the last hour that came to each step.",
            wrong="A gap before email_verified: mail does not arrive. A gap after it: the last form or its checks.",
            width=12,
        ),
        graph(
            "Conversion",
            [Query(f'{reached}{{{CHOSEN}, step!="started"}}', "{{service}} {{step}}")],
            unit=RATIO,
            links=links.TO_SERVICE,
            what="Share of registrations begun that came to each step, over an hour.",
            wrong="Lines that fall together: mail. Only completed falls: look at the deployment it fell with.",
        ),
    ]


def _sign_in(source: Source) -> list[Panel]:
    return [
        graph(
            "Sign-ins that fail, by reason",
            [Query(f"reason:auth_login_failures:ratio_rate5m{{{CHOSEN}}}", "{{service}} {{reason}}")],
            unit=RATIO,
            limits=source.limits("LoginFailureRateHigh"),
            stacked=True,
            links=TO_SECURITY,
            what="Share of sign-ins refused for each reason, over 5 minutes; the alert compares all of them together.",
            wrong="Second factor: ask its provider. Bad password, unknown user: open security. Locked: expect calls.",
            width=8,
        ),
        graph(
            "Active users",
            [Query(f"window:auth_active_users:max{{{CHOSEN}}}", "{{service}} in {{window}}")],
            unit=COUNT,
            links=TO_BUSINESS,
            what="Distinct customers who signed in during the last day and the last 30 days.",
            wrong="A fall within hours is a broken sign-in or count, not customers leaving: compare with sign-ins.",
            width=8,
        ),
        graph(
            "Active sessions",
            [Query(f"service:auth_active_sessions:max{{{CHOSEN}}}", "{{service}}")],
            unit=COUNT,
            links=links.TO_SERVICE,
            what="Sessions open now.",
            wrong="A drop to near zero signs everybody out: check the store of sessions (redis) and the signing key.",
            width=8,
        ),
    ]
