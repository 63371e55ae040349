"""How is business? Money first: what it holds and owes, then customers, trades and identity checks."""

from infra.dashboards import business_metrics_customers, business_metrics_money
from infra.dashboards.business_metrics_money import ASSET, BY_ASSET
from infra.dashboards.kit import links, variables
from infra.dashboards.kit.frame import Panel, Query
from infra.dashboards.kit.limits import NONE_EXPECTED
from infra.dashboards.kit.page import Draft, Page, Source
from infra.dashboards.kit.panels import graph, number, worst
from infra.dashboards.kit.tables import Column, rows
from infra.dashboards.kit.units import (
    BASIS_POINTS,
    COUNT,
    FINE_DOLLARS,
    NUMBER,
    RATIO,
    SECONDS,
)

MARKET = variables.MARKET.chosen
_TO_MARKET = [links.to("The market", "trading-engine", market="market"), links.to_logs()]


def build(source: Source) -> Page:
    """uid business-metrics."""
    draft = Draft(
        "business-metrics",
        "Business metrics",
        "Whether customers' money is all there and moves, and what customers do: sign up, trade, pay fees.",
        [variables.MARKET, variables.ASSET],
    )
    draft.row("Is the money there, and does it move?", *_answer(source))
    draft.row("How is business today?", *_today(source))
    draft.row("Do withdrawals wait or fail?", *business_metrics_money.waiting(source))
    draft.row("Are wallets full and books right?", *business_metrics_money.holdings(source))
    draft.row("What comes in and goes out?", *business_metrics_money.flows(source))
    draft.row("What is traded?", *_trading(source))
    draft.row("Do customers come, and do they get in?", *business_metrics_customers.coming(source))
    draft.row("Do identity checks keep up?", *business_metrics_customers.checked(source))
    return draft.page()


def _answer(source: Source) -> list[Panel]:
    differs = (
        f"count(max by (service, asset) (abs(ledger_difference{{{ASSET}}})) > on (service) group_left () "
        'alert:threshold{alert="LedgerDifference"})'
    )
    return [
        number(
            "Assets whose books differ",
            Query(f"{differs} or vector(0)"),
            unit=COUNT,
            limits=NONE_EXPECTED,
            what="Assets of which more or less is held than customers are owed.",
            wrong="Stop withdrawals of the asset until the difference is explained; the table of wallets names it.",
        ),
        number(
            "Emptiest hot wallet",
            Query(
                worst(f"asset:hot_wallet_balance:floor_ratio{{{ASSET}}}", "HotWalletBelowFloor", below=True), BY_ASSET
            ),
            unit=RATIO,
            limits=source.limits("HotWalletLow", "HotWalletBelowFloor", below=True, capability="wallet"),
            absent="no wallet",
            what="Balance against the floor, of the asset with the least; at 100 % withdrawals stop.",
            wrong="Refill from cold storage, and check that every outflow is a customer's withdrawal.",
            links=links.TO_SERVICE,
        ),
        number(
            "Deposits credited twice",
            Query(f"topk(1, asset:deposit_duplicate_credits:increase1h{{{ASSET}}})", BY_ASSET),
            unit=COUNT,
            limits=source.limits(None, "DepositCreditedTwice", capability="wallet"),
            absent="none",
            what="Deposits credited a second time within an hour, of the asset with most.",
            wrong="Stop withdrawals of the accounts concerned and crediting of the asset: each one is money lost.",
            links=links.TO_SERVICE,
        ),
        number(
            "Most withdrawals waiting",
            Query(
                worst(f"max by (service, asset) (withdrawals_pending{{{ASSET}}})", "PendingWithdrawalsBacklog"),
                BY_ASSET,
            ),
            unit=COUNT,
            limits=source.limits(None, "PendingWithdrawalsBacklog", capability="wallet"),
            absent="no wallet",
            what="Withdrawals requested and not yet ended, of the asset with most.",
            wrong="Look at the asset's hot wallet, then at its chain's node, then for a stuck signer in the logs.",
            links=links.TO_SERVICE,
        ),
        number(
            "Oldest withdrawal of all",
            Query(
                worst(
                    f"max by (service, asset) (withdrawal_oldest_pending_age_seconds{{{ASSET}}})", "OldestWithdrawalAge"
                ),
                BY_ASSET,
            ),
            unit=SECONDS,
            limits=source.limits("OldestWithdrawalAge", capability="wallet"),
            absent="no wallet",
            what="How long the withdrawal has waited that waits longest.",
            wrong="Often one that a person has to release. Else its fee is too low or its wallet is empty.",
            links=links.TO_SERVICE,
        ),
        number(
            "Most deposits waiting",
            Query(
                worst(f"max by (service, asset) (deposits_pending{{{ASSET}}})", "LargePendingDepositsBacklog"), BY_ASSET
            ),
            unit=COUNT,
            limits=source.limits("LargePendingDepositsBacklog", capability="wallet"),
            absent="no wallet",
            what="Deposits seen on the chain and not yet credited, of the asset with most.",
            wrong="See whether the chain's node stands still; if it does not, the deposit scanner has stopped.",
            links=[links.to("Chains", "trading-engine"), *links.TO_SERVICE],
        ),
    ]


def _today(source: Source) -> list[Panel]:
    volume = f"sum({source.counted('market:trade_volume_usd:rate5m', f'{{{MARKET}}}', '1d')})"
    fees = f"sum({source.counted('market:trade_fees_usd:rate5m', f'{{{MARKET}}}', '1d')})"
    return [
        number(
            "Daily active users",
            Query("sum(job:dau)"),
            unit=COUNT,
            what="Distinct customers signed in during the last day.",
            wrong="Compare with a week ago in the graph below; a weekend or a quiet market also has fewer.",
            links=[links.to("Registration and sign-in", "auth-registration")],
        ),
        number(
            "Monthly active users",
            Query("sum(job:mau)"),
            unit=COUNT,
            what="Distinct customers signed in during the last 30 days.",
            wrong="It moves slowly; a jump is a change in how customers are counted.",
        ),
        number(
            "Stickiness",
            Query("sum(job:dau) / (sum(job:mau) > 0)"),
            unit=RATIO,
            absent="no users",
            what="Daily of monthly active users: the share of customers who come on a given day.",
            wrong="A fall with a steady month means that customers come less often: ask product, not operations.",
        ),
        number(
            "Users lost in a week",
            Query("1 - job:dau / (job:dau offset 1w > 100)"),
            unit=RATIO,
            limits=source.limits("DailyActiveUsersDropped", capability="accounts"),
            absent="no week yet",
            what="Daily active users below those of a week ago, as a share; below zero there are more.",
            wrong="Look for an outage of the day, a holiday, or a sign-in that some customers cannot use.",
            links=links.TO_ACCOUNTS,
        ),
        number(
            "24 h volume",
            Query(volume),
            unit=FINE_DOLLARS,
            absent="no trades",
            what="Traded in the last 24 hours in US dollars, in the chosen markets.",
            wrong="See which market lost it in the table below, then whether orders or only matches are missing.",
            links=[links.to("Trading engine", "trading-engine")],
        ),
        number(
            "24 h fees",
            Query(fees),
            unit=FINE_DOLLARS,
            absent="no trades",
            what="Fees earned on trades in the last 24 hours in US dollars, in the chosen markets.",
            wrong="Down while volume is not: the fee rate fell. Look for a discount or a wrong fee table.",
        ),
    ]


def _trading(source: Source) -> list[Panel]:
    volume = f"market:trade_volume_usd:rate5m{{{MARKET}}}"
    total = f"3600 * sum({volume}%s)"

    def day(series: str) -> str:
        return f"sum by (market) ({source.counted(series, f'{{{MARKET}}}', '1d')})"

    traded, trades = day("market:trade_volume_usd:rate5m"), day("market:trades_executed:rate5m")
    fees = day("market:trade_fees_usd:rate5m")
    return [
        graph(
            "Volume by market",
            [Query(f"3600 * sum by (service, market) ({volume})", "{{market}}")],
            unit=FINE_DOLLARS,
            stacked=True,
            links=_TO_MARKET,
            what="Traded in US dollars an hour, over 5 minutes.",
            wrong="One market falls: call its makers. All fall: see whether the engine matches.",
            width=8,
        ),
        graph(
            "Volume against earlier",
            [
                Query(total % "", "now"),
                Query(total % " offset 1d", "a day ago"),
                Query(total % " offset 1w", "a week ago"),
            ],
            unit=FINE_DOLLARS,
            what="Traded in US dollars an hour in the chosen markets: now and at the same time a day and a week ago.",
            wrong="Below both earlier lines for an hour: ask whether other exchanges are quiet as well.",
            width=8,
        ),
        rows(
            "Markets, last 24 hours",
            ["market"],
            [
                Column("Volume", traded, FINE_DOLLARS),
                Column("Fees", fees, FINE_DOLLARS),
                Column("Fee rate", f"1e4 * {fees} / ({traded} > 0)", BASIS_POINTS),
                Column("Orders per trade", f"{day('market:orders_created:rate5m')} / ({trades} > 0)", NUMBER),
            ],
            sort="Volume",
            links=[links.from_row("The market", "trading-engine", market="Market")],
            what="Volume and fees in US dollars, fees in hundredths of a percent of volume, orders for each trade.",
            wrong="More orders for each trade: somebody quotes and cancels. A lower fee rate: a wrong fee table.",
            width=8,
            height=8,
        ),
    ]
