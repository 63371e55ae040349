"""Deposits, withdrawals, hot wallets and the ledger: the rows of the business page about customers' money."""

from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import Limits
from infra.dashboards.kit.page import Source
from infra.dashboards.kit.panels import graph
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import COUNT, FINE_DOLLARS, NUMBER, RATIO, SECONDS, SMALLEST_UNITS, STATE

ASSET = variables.ASSET.chosen
BY_ASSET = "{{asset}}"
AGREES = {0: "agree", 1: "differ"}


def waiting(source: Source) -> list[Panel]:
    """Withdrawals that wait or fail, with the limits of their alerts."""
    return [
        graph(
            "Withdrawals waiting",
            [Query(f"asset:withdrawals_pending:max{{{ASSET}}}", BY_ASSET)],
            unit=COUNT,
            limits=source.limits(None, "PendingWithdrawalsBacklog", capability="wallet"),
            links=links.TO_SERVICE,
            what="Withdrawals requested and not yet ended.",
            wrong="One asset: its wallet or its chain. All assets: the signer or its queue; see the service's logs.",
            width=8,
        ),
        graph(
            "Oldest withdrawal",
            [Query(f"asset:withdrawal_oldest_pending_age_seconds:max{{{ASSET}}}", BY_ASSET)],
            unit=SECONDS,
            limits=source.limits("OldestWithdrawalAge", capability="wallet"),
            links=links.TO_SERVICE,
            what="How long the withdrawal has waited that waits longest.",
            wrong="A straight line is one that nobody touches: release it by hand or raise its fee.",
            width=8,
        ),
        graph(
            "Withdrawals that fail",
            [Query(f"asset:withdrawals_failed:ratio30m{{{ASSET}}}", BY_ASSET)],
            unit=RATIO,
            limits=source.limits("HighWithdrawalFailureRate", capability="wallet"),
            links=links.TO_SERVICE,
            what="Share of ended withdrawals that failed, over half an hour; it warns from three failures on.",
            wrong="Check the asset's wallet for funds, then the fee against the chain's, then what the node answers.",
            width=8,
        ),
    ]


def holdings(source: Source) -> list[Panel]:
    """What the exchange holds against what it needs and owes."""
    differs = (
        f"max by (asset) (abs(ledger_difference{{{ASSET}}}) > bool on (service) group_left () "
        'alert:threshold{alert="LedgerDifference"})'
    )
    wallet = source.limits("HotWalletLow", "HotWalletBelowFloor", below=True, capability="wallet")
    return [
        rows(
            "Wallets and ledger",
            ["asset"],
            [
                Column("Balance", f"min by (asset) (hot_wallet_balance{{{ASSET}}})", NUMBER),
                Column("Floor", f"max by (asset) (hot_wallet_floor{{{ASSET}}})", NUMBER),
                Column("Of floor", f"min by (asset) (asset:hot_wallet_balance:floor_ratio{{{ASSET}}})", RATIO, wallet),
                Column("Books", differs, STATE, Limits(critical=1), AGREES),
                Column("Held over owed", f"sum by (asset) (asset:ledger_difference:worst{{{ASSET}}})", SMALLEST_UNITS),
            ],
            links=[links.from_row("Only this asset", "business-metrics", asset="Asset")],
            what="Hot wallet and its floor in units of the asset; whether what is held agrees with what is owed.",
            wrong="Differ: stop withdrawals of the asset. Near the floor: start a refill, it takes people and hours.",
            width=8,
            height=8,
        ),
        graph(
            "Hot wallets against their floor",
            [Query(f"asset:hot_wallet_balance:floor_ratio_each2m{{{ASSET}}}", BY_ASSET)],
            unit=RATIO,
            limits=wallet,
            links=links.TO_SERVICE,
            what="Balance for each unit of the floor; withdrawals stop at 100 %.",
            wrong="A step down is one large outflow: check whose it is. A slope is a refill that is due.",
            width=8,
        ),
        graph(
            "Held over owed",
            [Query(f"asset:ledger_difference:worst{{{ASSET}}}", BY_ASSET)],
            unit=SMALLEST_UNITS,
            limits=source.limits(None, "LedgerDifference", capability="wallet"),
            minimum=None,
            links=links.TO_SERVICE,
            what="Held minus owed, in units of the asset; as far below zero is as bad as above.",
            wrong="Its first moment tells which transfer was booked twice or not at all; look for it in the logs.",
            width=8,
        ),
    ]


def flows(source: Source) -> list[Panel]:
    """Deposits and withdrawals in number and dollars, and deposits that wait."""

    def day(series: str, chosen: str = "") -> str:
        return f"sum by (asset) ({source.counted(series, f'{{{ASSET}{chosen}}}', '1d')})"

    paid_in, paid_out = day("asset:deposit_amount_usd:rate5m"), day("asset:withdrawal_amount_usd:rate5m")
    hourly = f"3600 * sum(asset:%s_amount_usd:rate5m{{{ASSET}}})"
    return [
        rows(
            "Deposits and withdrawals, last 24 hours",
            ["asset"],
            [
                Column("Deposits", day("asset:deposits:rate5m", ', result="credited"'), COUNT),
                Column("Deposits failed", day("asset:deposits:rate5m", ', result="failed"'), COUNT),
                Column("Paid in", paid_in, FINE_DOLLARS),
                Column("Withdrawals", day("asset:withdrawals:rate5m", ', result="completed"'), COUNT),
                Column("Withdrawals failed", day("asset:withdrawals:rate5m", ', result="failed"'), COUNT),
                Column("Paid out", paid_out, FINE_DOLLARS),
                Column("Net", f"{paid_in} - {paid_out}", FINE_DOLLARS),
                Column("Oldest deposit", f"max by (asset) (deposit_oldest_pending_age_seconds{{{ASSET}}})", SECONDS),
            ],
            sort="Paid in",
            links=[links.from_row("Only this asset", "business-metrics", asset="Asset")],
            what="Ended deposits and withdrawals in number and US dollars, what is left of them, and who waits now.",
            wrong="Failed deposits: look for their transactions in the logs. Net far below zero: plan a refill.",
            height=6,
        ),
        graph(
            "Net flow",
            [
                Query(hourly % "deposit", "paid in"),
                Query(hourly % "withdrawal", "paid out"),
                Query(f"{hourly % 'deposit'} - {hourly % 'withdrawal'}", "net"),
                Query(
                    f"3600 * (sum(asset:deposit_amount_usd:rate5m{{{ASSET}}} offset 1d) "
                    f"- sum(asset:withdrawal_amount_usd:rate5m{{{ASSET}}} offset 1d))",
                    "net, a day ago",
                ),
            ],
            unit=FINE_DOLLARS,
            minimum=None,
            width=16,
            what="US dollars paid in, paid out and left over, an hour, over 5 minutes, of the chosen assets.",
            wrong="Below zero for hours and not a day ago: customers leave. Tell finance, and watch the hot wallets.",
        ),
        graph(
            "Deposits waiting",
            [Query(f"asset:deposits_pending:max{{{ASSET}}}", BY_ASSET)],
            unit=COUNT,
            limits=source.limits("LargePendingDepositsBacklog", capability="wallet"),
            links=[links.to("Chains", "trading-engine"), *links.TO_SERVICE],
            what="Deposits seen on the chain and not yet credited.",
            wrong="If the chain's node is behind, that is the cause; else restart the deposit scanner.",
            width=8,
        ),
    ]
