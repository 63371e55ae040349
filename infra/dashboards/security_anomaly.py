"""Is somebody attacking the exchange or abusing it? Floods, password guessing, order patterns, withdrawals."""

from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import graph, lines, number, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, DOLLARS, FINE_RATIO, PER_SECOND, RATIO, REQUESTS, SECONDS, TIMES

UID = "security-anomaly"
OF_SERVICE = variables.GUARDED.chosen
OF_MARKET = f"{OF_SERVICE}, {variables.MARKET.chosen}"
TO_TRADING = [links.to("Trading engine", "trading-engine", market="market"), links.to_logs()]
TO_BUSINESS = [links.to("Business metrics", "business-metrics", asset="asset"), links.to_logs()]

# A flood has both many addresses and many requests, so it is as large as the lesser of the two.
FLOOD = (
    "(service:gateway_client_sources:p90_1d_ratio <= service:gateway_requests_per_second:p90_1d_ratio"
    " or service:gateway_requests_per_second:p90_1d_ratio < service:gateway_client_sources:p90_1d_ratio)"
)


def build(source: Source) -> Page:
    """uid security-anomaly."""
    draft = Draft(
        UID,
        "Security and anomalies",
        "Whether somebody attacks or abuses the exchange, where, and how far it has come.",
        [variables.GUARDED, variables.MARKET],
        with_logs=True,
    )
    draft.row("Is somebody attacking? (the whole exchange)", *_answer(source))
    draft.row("Is it a flood of requests?", *_flood(source))
    draft.row("What does the gateway turn away?", *_refusals(source))
    draft.row("Is somebody trying passwords?", *_passwords(source))
    draft.row("Is a market, a wallet or registration abused?", *_abuse(source))
    draft.row("Alerts and refused requests", *_detail(source))
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    # Attacks do not keep to one service: these six ignore what is chosen.
    pages = f'ALERTS{{alertstate="firing", severity="critical", alertname=~"{source.leading_to(UID)}"}}'
    return [
        number(
            "Security pages firing",
            Query(f"count({pages}) or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            links=[links.to("Alerting", "alerting")],
            what="Critical alerts of this dashboard that fire now, on the whole exchange.",
            wrong="The table at the end names them; the row of the coloured figure beside this one shows the cause.",
        ),
        number(
            "Flood, times the usual",
            Query(worst(FLOOD, "DDoSDetected"), "{{service}}"),
            unit=TIMES,
            limits=source.limits(None, "DDoSDetected"),
            absent="no usual yet",
            links=links.TO_SERVICE,
            what="Requests a second and client addresses against the 90th percentile of a day: the lesser of the two.",
            wrong="Switch on the provider's protection, tighten the anonymous limit, and watch the requests row.",
        ),
        number(
            "Addresses trying passwords",
            Query(worst("service:auth_suspicious_sources:sum", "SuspiciousLoginAttempts"), "{{service}}"),
            unit=COUNT,
            limits=source.limits(None, "SuspiciousLoginAttempts"),
            links=links.TO_ACCOUNTS,
            what="Source addresses with more than 20 failed sign-ins in 5 minutes.",
            wrong="Have the addresses blocked at the gateway and ask for a second factor on every sign-in.",
        ),
        number(
            "Sign-ins that fail",
            Query(worst("service:auth_login_failures:ratio_rate5m", "LoginFailureRateHigh"), "{{service}}"),
            unit=RATIO,
            limits=source.limits("LoginFailureRateHigh"),
            absent="few sign-ins",
            links=links.TO_ACCOUNTS,
            what="Share of sign-ins refused over 5 minutes, from 30 sign-ins on.",
            wrong="By reason below: unknown users mean guessing, second factors a delivery fault, all a bad release.",
        ),
        number(
            "Refused by rate limit",
            Query(worst("service:rate_limit_hits:ratio_rate5m", "HighRateLimitViolations"), "{{service}}"),
            unit=RATIO,
            limits=source.limits("HighRateLimitViolations"),
            absent="below 1/s",
            links=links.TO_SERVICE,
            what="Share of requests refused by a rate limit over 5 minutes, from one refusal a second on.",
            wrong="The policy below says who is hit: anonymous is scraping, account or orders a customer's program.",
        ),
        number(
            "Orders of one account",
            Query(worst("market:orders_top_account:ratio", "UnusualOrderPattern"), "{{service}} {{market}}"),
            unit=RATIO,
            limits=source.limits(None, "UnusualOrderPattern"),
            absent="few orders",
            links=TO_TRADING,
            what="The busiest account's share of a market's orders in the last minute, from 30 orders a minute on.",
            wrong="Have trading name the account, and suspend its keys before you ask whether it is a program.",
        ),
    ]


def _flood(source: Source) -> list[Panel]:
    return [
        graph(
            "Times the usual",
            [
                Query(f"service:gateway_requests_per_second:p90_1d_ratio{{{OF_SERVICE}}}", "{{service}} requests"),
                Query(
                    f"service:gateway_client_sources:p90_1d_ratio_by_minute{{{OF_SERVICE}}}", "{{service}} addresses"
                ),
            ],
            unit=TIMES,
            limits=source.limits(None, "DDoSDetected"),
            links=links.TO_SERVICE,
            what="Requests and addresses against their 90th percentile of a day, at least 40/s and 500 addresses.",
            wrong="Both above the line are a flood. Requests alone: one bad client. Addresses alone: a popular day.",
            width=8,
        ),
        graph(
            "Requests",
            [
                Query(f"service:gateway_requests_per_second:sum{{{OF_SERVICE}}}", "{{service}} now"),
                Query(f"service:gateway_requests_per_second:p90_1d{{{OF_SERVICE}}}", "{{service}} usual"),
            ],
            unit=REQUESTS,
            links=links.TO_SERVICE,
            what="Requests a second at the gateway, over 2 minutes, and the 90th percentile of the last day.",
            wrong="A step within a minute is a program, a slope over an hour is news: add instances only for a slope.",
            width=8,
        ),
        graph(
            "Client addresses",
            [
                Query(f"service:gateway_client_sources:sum_by_minute{{{OF_SERVICE}}}", "{{service}} now"),
                Query(f"service:gateway_client_sources:p90_1d{{{OF_SERVICE}}}", "{{service}} usual"),
            ],
            unit=COUNT,
            links=links.TO_SERVICE,
            what="Distinct client addresses of the last minute, and the 90th percentile of the last day.",
            wrong="Thousands of new ones are a botnet: have the provider filter them, blocking one by one is too slow.",
            width=8,
        ),
    ]


def _refusals(source: Source) -> list[Panel]:
    return [
        graph(
            "Refused by rate limit, by policy",
            [Query(f"policy:rate_limit_hits:rate5m{{{OF_SERVICE}}}", "{{service}} {{policy}}")],
            unit=PER_SECOND,
            stacked=True,
            links=links.TO_SERVICE,
            what="Requests refused a second by each rate limit, over 5 minutes.",
            wrong="Orders or account: call the customer whose program retries. Anonymous: block the scraper.",
        ),
        graph(
            "Refused by rate limit, share of requests",
            [Query(f"service:rate_limit_hits:ratio_rate5m_unfloored{{{OF_SERVICE}}}", "{{service}}")],
            unit=FINE_RATIO,
            limits=source.limits("HighRateLimitViolations"),
            links=links.TO_SERVICE,
            what="Refused requests as a share of all, over 5 minutes; it alerts from one refusal a second on.",
            wrong="Without more requests than usual the limit is too low: compare with the latest deployment.",
        ),
        graph(
            "Blocked requests, by reason",
            [Query(f"reason:gateway_blocked_requests:rate5m{{{OF_SERVICE}}}", "{{service}} {{reason}}")],
            unit=PER_SECOND,
            stacked=True,
            links=links.TO_SERVICE,
            what="Requests dropped a second before routing, over 5 minutes.",
            wrong="Blocklist: known attackers, held off. Malformed: a scan or a broken client. Geo: maybe a new rule.",
        ),
        graph(
            "Client errors (4xx), by route",
            [Query(f"route:gateway_client_errors:rate5m{{{OF_SERVICE}}}", "{{service}} {{route}}")],
            unit=PER_SECOND,
            links=links.TO_SERVICE,
            what="Requests a second that the gateway answers 4xx, over 5 minutes.",
            wrong="One route alone: a client release or guessing on it. Many routes at once: a scan for weak spots.",
        ),
    ]


def _passwords(source: Source) -> list[Panel]:
    return [
        graph(
            "Failed sign-ins, by reason",
            [Query(f"reason:auth_login_failures:rate5m{{{OF_SERVICE}}}", "{{service}} {{reason}}")],
            unit=PER_SECOND,
            stacked=True,
            links=links.TO_ACCOUNTS,
            what="Sign-ins refused a second, over 5 minutes.",
            wrong="Bad passwords with unknown users are a leaked list; locked means accounts are already being hit.",
            width=8,
        ),
        graph(
            "Sign-ins that fail",
            [Query(f"service:auth_login_failures:ratio_rate5m{{{OF_SERVICE}}}", "{{service}}")],
            unit=RATIO,
            limits=source.limits("LoginFailureRateHigh"),
            links=links.TO_ACCOUNTS,
            what="Share of sign-ins refused, over 5 minutes, from 30 sign-ins on.",
            wrong="With few addresses in the next graph it is a slow attack or our own fault: try to sign in yourself.",
            width=8,
        ),
        graph(
            "Addresses trying passwords",
            [Query(f"service:auth_suspicious_sources:sum_by_minute{{{OF_SERVICE}}}", "{{service}}")],
            unit=COUNT,
            limits=source.limits(None, "SuspiciousLoginAttempts"),
            links=links.TO_ACCOUNTS,
            what="Source addresses with more than 20 failed sign-ins in 5 minutes.",
            wrong="Block them at the gateway, then look for accounts that signed in from one of them and lock those.",
            width=8,
        ),
    ]


def _abuse(source: Source) -> list[Panel]:
    cancelled = f"market:orders_cancelled:rate5m{{{OF_MARKET}}} / (market:orders_created:rate5m > 0)"
    return [
        graph(
            "Orders of the busiest account",
            [Query(f"market:orders_top_account:ratio_by_minute{{{OF_MARKET}}}", "{{service}} {{market}}")],
            unit=RATIO,
            maximum=1,
            limits=source.limits(None, "UnusualOrderPattern"),
            links=TO_TRADING,
            what="One account's share of a market's orders of the last minute, from 30 orders a minute on.",
            wrong="A market maker has up to a third. Above the line, suspend the account's keys and tell compliance.",
        ),
        graph(
            "Orders cancelled of those placed",
            [Query(cancelled, "{{service}} {{market}}")],
            unit=RATIO,
            links=TO_TRADING,
            what="Cancelled orders for each accepted one in a market, over 5 minutes.",
            wrong="A sudden rise together with one busy account is quote stuffing: lower that account's order limit.",
        ),
        graph(
            "Withdrawn, times the usual",
            [Query(f"asset:withdrawal_amount_usd:p90_1d_ratio{{{OF_SERVICE}}}", "{{service}} {{asset}}")],
            unit=TIMES,
            links=TO_BUSINESS,
            what="US dollars withdrawn in an hour against the 90th percentile of a day's hours, by asset.",
            wrong="After an attack on sign-ins, hold the asset's withdrawals until their accounts are checked.",
            width=8,
        ),
        graph(
            "Average withdrawal",
            [Query(f"asset:withdrawal_amount_usd:mean1h{{{OF_SERVICE}}}", "{{service}} {{asset}}")],
            unit=DOLLARS,
            links=TO_BUSINESS,
            what="US dollars of a completed withdrawal on average over an hour; a single large one lifts it.",
            wrong="Look up the hour's largest withdrawals in the ledger; ask the customers before the next is signed.",
            width=8,
        ),
        graph(
            "Registrations for each sign-in",
            [Query(f"service:auth_registrations:sign_in_ratio20m{{{OF_SERVICE}}}", "{{service}}")],
            unit=RATIO,
            links=links.TO_ACCOUNTS,
            what="Finished registrations as a share of successful sign-ins, over 20 minutes.",
            wrong="A jump without a campaign is bots that open accounts: ask for a captcha at registration.",
            width=8,
        ),
    ]


def _detail(source: Source) -> list[Panel]:
    ours = f'alertname=~"{source.leading_to(UID)}", {OF_SERVICE}'
    firing = f'ALERTS{{alertstate="firing", {ours}}}'
    since = f"max by (alertname, service, severity) (time() - ALERTS_FOR_STATE{{{ours}}})"
    return [
        rows(
            "Alerts firing",
            ["alertname", "service", "severity"],
            [Column("Since it began", f"{since} and on (alertname, service) {firing}", SECONDS)],
            links=[links.from_row("Alerting", "alerting")],
            what="Alerts of this dashboard that fire, and for how long what they speak of has held.",
            wrong="Work on the oldest first: what follows within minutes is often the same attacker.",
            width=8,
        ),
        lines(
            "Refused requests",
            f'{{service_name=~"$service", service_name=~"{source.having("gateway", "accounts")}"}}'
            r' |~ `"status": ?(401|403|429)`',
            what="The newest requests answered 401, 403 or 429 at the gateway and the accounts service.",
            wrong="Look for one route or one client again and again; open a line for its request's identifier.",
            width=16,
        ),
    ]
