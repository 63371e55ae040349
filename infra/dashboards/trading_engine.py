"""Does the engine match, do customers see it, and do the chains move? One page for all that trading stands on."""

from infra.dashboards import trading_engine_surroundings
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import UP, Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED, SOME_EXPECTED
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import graph, number, states, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, FINE_SECONDS, NUMBER, PER_SECOND, RATIO, SECONDS, STATE
from infra.dashboards.trading_engine_surroundings import MARKET, TO_MARKET

# What market:matching_engine:state stands for; a market without orders is as it should be.
MATCHING = {0: "stands still", 1: "no orders", 2: "matches"}
_BY_MARKET = "{{market}}"


def build(source: Source) -> Page:
    """uid trading-engine."""
    draft = Draft(
        "trading-engine",
        "Trading engine",
        "Whether orders are taken, matched and shown to customers, market by market, and whether the chains move.",
        [variables.MARKET, variables.CHAIN],
    )
    draft.row("Is the engine matching?", *_answer(source))
    draft.row("Which market, and since when?", _history(), _markets(source))
    draft.row("What becomes of orders?", *_orders(source))
    draft.row("How long does an order wait?", *_waiting(source))
    draft.row("Does the engine publish, and do customers see it?", *trading_engine_surroundings.publication(source))
    draft.row("What does the engine stand on?", *trading_engine_surroundings.ground(source))
    draft.row("Do the chains move?", *trading_engine_surroundings.chains(source))
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    still = (
        f"(market:orders_without_event:increase1m{{{MARKET}}} > on (service) group_left () "
        f'alert:threshold{{alert="MatchingStalled"}} or market:orders_waiting_without_event:min1m{{{MARKET}}} > 0)'
    )
    return [
        number(
            "Engine",
            Query(
                "min by (service) ((0 * (service:down == 1) or catalog:service:expected) "
                'and on (service) catalog:service:capability{capability="trading"})',
                "{{service}}",
            ),
            unit=STATE,
            limits=SOME_EXPECTED,
            texts=UP,
            what="Whether the matching engine answers on any instance.",
            wrong="Nothing is traded. Look at its logs for the crash, then at its host and data stores further down.",
            links=links.TO_SERVICE,
        ),
        number(
            "Markets that stand still",
            Query(f"count{still} or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Markets that had orders during the last minute and published no event.",
            wrong="The strips below name them. All: journal or database takes no writes. One: halted by mistake?",
        ),
        number(
            "Slowest matching, P99",
            Query(
                worst(f"market:matching_engine_latency_seconds:p99{{{MARKET}}}", "MatchingEngineLatencyHigh"),
                _BY_MARKET,
            ),
            unit=FINE_SECONDS,
            limits=source.limits(None, "MatchingEngineLatencyHigh", capability="trading"),
            absent="few orders",
            what="What one order in a hundred waits longer than, over a minute, in the slowest market.",
            wrong="Compare orders and queue of that market with a day ago (a flood?), then the engine host's CPU.",
            links=TO_MARKET,
        ),
        number(
            "Fewest orders matched",
            Query(
                worst(f"market:orders_matched:ratio10m{{{MARKET}}}", "LowOrderMatchSuccessRate", below=True), _BY_MARKET
            ),
            unit=RATIO,
            limits=source.limits("LowOrderMatchSuccessRate", below=True, capability="trading"),
            absent="few orders",
            what="Matched for each accepted order over 10 minutes, in the market with the lowest share.",
            wrong="Ask whether a market maker left or its prices are off; if matching is slow, that is the cause.",
            links=TO_MARKET,
        ),
        number(
            "Most orders refused",
            Query(worst(f"market:orders_rejected:ratio10m{{{MARKET}}}", "HighOrderRejectionRate"), _BY_MARKET),
            unit=RATIO,
            limits=source.limits("HighOrderRejectionRate", capability="trading"),
            absent="few orders",
            what="Share of orders refused over 10 minutes, in the market with the highest.",
            wrong="The reasons further down tell a wrong risk limit or price band from late balances.",
            links=TO_MARKET,
        ),
        number(
            "Most gaps in events",
            Query(f"topk(1, market:market_data_sequence_gaps:increase10m{{{MARKET}}})", _BY_MARKET),
            unit=COUNT,
            limits=source.limits(None, "MatchingSequenceGap", capability="market_data"),
            what="Events of the engine that market data missed within 10 minutes, in the market with most.",
            wrong="Customers see a wrong order book: have it built anew, then find the lost messages in the broker.",
            links=TO_MARKET,
        ),
    ]


def _history() -> Panel:
    return states(
        "Matching",
        Query(f"min by (service, market) (market:matching_engine:state{{{MARKET}}})", _BY_MARKET),
        texts=MATCHING,
        limits=SOME_EXPECTED,
        links=TO_MARKET,
        what="When each market matched, had no orders, or had orders and stood still; no strip is no engine.",
        wrong="All at once is the engine or what it stands on; one alone is that market's matching loop or a halt.",
        width=10,
    )


def _markets(source: Source) -> Panel:
    def each(series: str, how: str = "max") -> str:
        return f"{how} by (market) ({series}{{{MARKET}}})"

    created = each("market:orders_created:rate5m", "sum")
    matching = source.limits("LowOrderMatchSuccessRate", below=True, capability="trading")
    return rows(
        "Markets",
        ["market"],
        [
            Column("Orders/s", created, NUMBER),
            Column(
                "Of a day ago", f"{created} / (sum by (market) (market:orders_created:rate5m offset 1d) > 0)", RATIO
            ),
            Column("Matched", each("market:orders_matched:ratio10m", "min"), RATIO, matching),
            Column(
                "Refused",
                each("market:orders_rejected:ratio10m"),
                RATIO,
                source.limits("HighOrderRejectionRate", capability="trading"),
            ),
            Column(
                "P99",
                each("market:matching_engine_latency_seconds:p99"),
                FINE_SECONDS,
                source.limits(None, "MatchingEngineLatencyHigh", capability="trading"),
            ),
            Column("Waiting", each("matching_engine_queue_depth"), COUNT),
            Column("Events behind", each("market:market_data_sequence:behind"), COUNT),
            Column("Last event", each("market:market_data_last_event:age_seconds"), SECONDS),
        ],
        sort="Orders/s",
        links=[links.from_row("Only this market", "trading-engine", market="Market")],
        what="Orders over 5 minutes, matched and refused over 10, P99 over one; orders and events that wait now.",
        wrong="One bad market: look for a market maker that left or a halt. All of them: look at the engine's host.",
        width=14,
        height=8,
    )


def _orders(source: Source) -> list[Panel]:
    created = f"sum by (service, market) (market:orders_created:rate5m{{{MARKET}}}%s)"
    total = "sum(%s{" + MARKET + "})"
    return [
        graph(
            "Orders accepted, and a day ago",
            [Query(created % "", _BY_MARKET), Query(created % " offset 1d", "{{market}}, a day ago")],
            unit=PER_SECOND,
            links=TO_MARKET,
            what="Orders accepted into the book each second, over 5 minutes, now and at the same time yesterday.",
            wrong="A fall in all markets: check gateway and sign-in. A rise in one: see who sends them.",
            width=8,
        ),
        graph(
            "Accepted, matched, cancelled, refused",
            [
                Query(total % "market:orders_created:rate5m", "accepted"),
                Query(total % "market:orders_matched:rate5m", "matched"),
                Query(total % "market:orders_cancelled:rate5m", "cancelled"),
                Query(total % "reason:orders_rejected:rate5m", "refused"),
            ],
            unit=PER_SECOND,
            what="What becomes of orders each second, over 5 minutes, in the chosen markets together.",
            wrong="Cancelled up and matched down: market makers withdraw. Matched alone down: see the wait below.",
            width=8,
        ),
        graph(
            "Refused, by reason",
            [Query(f"sum by (reason) (reason:orders_rejected:rate5m{{{MARKET}}})", "{{reason}}")],
            unit=PER_SECOND,
            stacked=True,
            what="Orders refused each second, over 5 minutes, by the reason given to the customer.",
            wrong="Price and risk: undo the last change of limits. Funds: balances lag. Closed: end the halt.",
            width=8,
        ),
        graph(
            "Share of orders matched",
            [Query(f"market:orders_matched:ratio10m_by_minute{{{MARKET}}}", _BY_MARKET)],
            unit=RATIO,
            limits=source.limits("LowOrderMatchSuccessRate", below=True, capability="trading"),
            links=TO_MARKET,
            what="Matched for each accepted order, over 10 minutes; nothing where fewer than 60 came.",
            wrong="Call the market's makers, and compare its price with other exchanges.",
        ),
        graph(
            "Share of orders refused",
            [Query(f"market:orders_rejected:ratio10m_by_minute{{{MARKET}}}", _BY_MARKET)],
            unit=RATIO,
            limits=source.limits("HighOrderRejectionRate", capability="trading"),
            links=TO_MARKET,
            what="Refused of all orders, over 10 minutes; nothing where fewer than 60 came.",
            wrong="Find the reason above. One client that sends bad orders: rate-limit it at the gateway.",
        ),
    ]


def _waiting(source: Source) -> list[Panel]:
    latency = "market:matching_engine_latency_seconds"
    return [
        graph(
            "Matching latency",
            [
                Query(f"{latency}:p99_by_minute{{{MARKET}}}", "p99 {{market}}"),
                Query(f"{latency}:p95{{{MARKET}}}", "p95 {{market}}"),
                Query(f"{latency}:p50{{{MARKET}}}", "p50 {{market}}"),
            ],
            unit=FINE_SECONDS,
            limits=source.limits(None, "MatchingEngineLatencyHigh", capability="trading"),
            links=TO_MARKET,
            what="From acceptance to the end of matching, over a minute: 50, 95 and 99 of a hundred orders are faster.",
            wrong="P99 alone: pauses, or slow writes to the database. P50 as well: CPU, or more orders than it takes.",
        ),
        graph(
            "Orders waiting",
            [Query(f"market:matching_engine_queue_depth:max{{{MARKET}}}", _BY_MARKET)],
            unit=COUNT,
            links=TO_MARKET,
            what="Orders accepted and not yet matched or booked, now.",
            wrong="It only grows: matching is too slow or stands still. Halt order entry there until it is worked off.",
        ),
    ]
