"""What lies around the matching engine: market data behind it, host and broker below it, chains beside it."""

from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import SOME_EXPECTED
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import graph, states
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, RATIO, SECONDS

MARKET = variables.MARKET.chosen
CHAIN = variables.CHAIN.chosen
REACHED = {0: "out of reach", 1: "reached"}
TO_MARKET = [links.to("Only this market", "trading-engine", market="market"), links.to_logs()]
_TO_NODE = [links.to("The node", "app-performance", service="service"), links.to_logs()]


def publication(source: Source) -> list[Panel]:
    """Events from the engine to customers: those not published, and those that market data lacks."""
    return [
        graph(
            "Orders without an event",
            [Query(f"market:orders_without_event:increase1m_by_minute{{{MARKET}}}", "{{market}}")],
            unit=COUNT,
            limits=source.limits(None, "MatchingStalled", capability="trading"),
            links=TO_MARKET,
            what="Orders accepted within a minute in which the engine published nothing; 0 while it publishes.",
            wrong="See whether journal and database take writes and whether the market is halted; else restart it.",
        ),
        graph(
            "Market data behind the engine",
            [Query(f"market:market_data_sequence:behind{{{MARKET}}}", "{{market}}")],
            unit=COUNT,
            links=TO_MARKET,
            what="Events that the engine published at least 15 seconds ago and customers have not got.",
            wrong="It grows: market data is stuck or its queue is. Below, the queue tells which.",
        ),
        graph(
            "Age of the last event",
            [Query(f"market:market_data_last_event:age_seconds{{{MARKET}}}", "{{market}}")],
            unit=SECONDS,
            links=TO_MARKET,
            what="Seconds since market data got the last event of the engine.",
            wrong="All rise together: the engine or the broker. One alone, without orders: a quiet market.",
        ),
        graph(
            "Gaps in events",
            [Query(f"market:market_data_sequence_gaps:increase10m_by_minute{{{MARKET}}}", "{{market}}")],
            unit=COUNT,
            limits=source.limits(None, "MatchingSequenceGap", capability="market_data"),
            links=TO_MARKET,
            what="Events missed within 10 minutes; each gap stays for as long.",
            wrong="Build the order book anew. See whether the broker restarted or its queue was full at that time.",
        ),
    ]


def ground(source: Source) -> list[Panel]:
    """Data stores, broker and host, without which the engine matches nothing."""
    engine = f'service=~"{source.having("trading")}"'
    host = f'service=~"{source.hosts_of("trading")}"'
    to_host = [links.to("The host", "infrastructure", host="instance")]
    return [
        states(
            "What the engine reaches",
            Query(f"min by (service, dependency) (service:service_dependency_up:min{{{engine}}})", "{{dependency}}"),
            texts=REACHED,
            limits=SOME_EXPECTED,
            links=[links.to("Databases and caches", "database-cache"), links.to_logs()],
            what="Whether every instance of the engine reaches its data stores and broker, in its own words.",
            wrong="Bring the store back first. If it is up for others, look for a changed password or a cut network.",
            width=12,
        ),
        graph(
            "Messages between engine and market data",
            [Query("queue:engine_messages:max", "{{queue}}")],
            unit=COUNT,
            limits=source.limits("RabbitMQQueueBacklogWarning", "RabbitMQQueueBacklogCritical"),
            links=[links.to("Queues", "database-cache")],
            what="Messages in the broker's queues of the engine and of market data, now.",
            wrong="It grows: the consumer is down, slow or hangs. Restart it; the messages stay in the queue.",
        ),
        graph(
            "CPU of the engine's host",
            [Query(f"instance:node_cpu_used:ratio_by_minute{{{host}}}", "{{instance}}")],
            unit=RATIO,
            maximum=1,
            limits=source.limits("HighCPUUsage"),
            links=to_host,
            what="Share of the CPUs in use, over 5 minutes.",
            wrong="Open the host: stop what is not the engine, such as a job that belongs into the night.",
        ),
        graph(
            "Memory of the engine's host",
            [Query(f"instance:node_memory_used:ratio_by_minute{{{host}}}", "{{instance}}")],
            unit=RATIO,
            maximum=1,
            limits=source.limits("HighMemoryUsage"),
            links=to_host,
            what="Share of memory in use, now, without what the kernel would give back.",
            wrong="At 100 % the kernel ends the engine. Open the host and find what grew since the last deployment.",
        ),
    ]


def chains(source: Source) -> list[Panel]:
    """The exchange's nodes: whether they follow their chains, by their own words and by somebody else's."""

    def each(series: str, how: str = "max") -> str:
        return f"{how} by (service, chain) ({series}{{{CHAIN}}})"

    return [
        rows(
            "Nodes",
            ["service", "chain"],
            [
                Column("Height", each("blockchain_node_height"), COUNT),
                Column(
                    "Reference",
                    f"{each('blockchain_node_height')} * 0 + on (chain) group_left () "
                    f"max by (chain) (chain:blockchain_reference_height:max2m)",
                    COUNT,
                ),
                Column("Behind", each("instance:blockchain_node_height:behind_reference"), COUNT),
                Column(
                    "Newest block",
                    f"max by (service, chain) (time() - blockchain_node_last_block_timestamp_seconds{{{CHAIN}}})",
                    SECONDS,
                ),
                Column("Peers", each("blockchain_node_peers", "min"), COUNT, SOME_EXPECTED),
            ],
            links=[links.from_row("The node", "app-performance", service="Service")],
            what="Each node's height, that of an independent source, blocks between them, age of the newest, peers.",
            wrong="Far below zero the reference is what stands still. No peers: check the node's network and version.",
            width=12,
        ),
        graph(
            "Age of the newest block",
            [Query(f"chain:blockchain_node_last_block:age_seconds{{{CHAIN}}}", "{{service}} {{chain}}")],
            unit=SECONDS,
            limits=source.limits(None, "BlockchainNodeNotSynced"),
            links=_TO_NODE,
            what="Age of each node's newest block; the dashed line is for chains with a block every few seconds.",
            wrong="Deposits are not seen: check peers and disk of the node, and whether a fork needs a newer version.",
        ),
        graph(
            "Blocks behind the independent height",
            [Query(f"chain:blockchain_node_height:behind_reference{{{CHAIN}}}", "{{service}} {{chain}}")],
            unit=COUNT,
            limits=source.limits(None, "BlockchainHeightBehindReference"),
            minimum=None,
            links=_TO_NODE,
            what="How far each node is behind the height that independent sources know.",
            wrong="Hold the chain's deposits. No peers: the network. With peers: restart the node, or sync it anew.",
        ),
        graph(
            "Peers",
            [Query(f"chain:blockchain_node_peers:min{{{CHAIN}}}", "{{service}} {{chain}}")],
            unit=COUNT,
            limits=SOME_EXPECTED,
            links=_TO_NODE,
            what="Peers each node is connected to, now.",
            wrong="A steady fall is a version the network no longer accepts; a sudden one, a firewall or the network.",
        ),
    ]
