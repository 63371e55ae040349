"""Postgres as a simulated service uses it."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg import sql

from simulator.chance import Chance
from simulator.config import Endpoint, Secrets
from simulator.dependencies import TIMEOUT_SECONDS, WORK_SECONDS, Dependency

_KEEP_MINUTES = 15
_PRUNE_SECONDS = 60.0


class PostgresDependency(Dependency):
    """Writes and reads rows of a table of the service's own; rows older than 15 minutes are deleted."""

    def __init__(self, name: str, service: str, endpoint: Endpoint, secrets: Secrets, chance: Chance) -> None:
        super().__init__(name, WORK_SECONDS)
        self._service, self._endpoint, self._secrets, self._chance = service, endpoint, secrets, chance
        self._table = sql.Identifier(f"{service.replace('-', '_')}_events")
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._prune_at = 0.0

    async def connect(self) -> None:
        self._connection = await psycopg.AsyncConnection.connect(
            host=self._endpoint.host,
            port=self._endpoint.port,
            user=self._endpoint.user,
            dbname=self._endpoint.dbname,
            password=self._secrets.password("postgres"),
            application_name=self._service,
            connect_timeout=int(TIMEOUT_SECONDS),
            autocommit=True,
        )
        create = sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (id bigserial PRIMARY KEY, kind text NOT NULL,"
            " amount double precision NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"
        )
        async with self._connection.transaction():
            # IF NOT EXISTS alone still fails when two replicas create the table at the same moment.
            await self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('simulator.tables'))")
            await self._connection.execute(create.format(self._table))

    async def work(self) -> None:
        assert self._connection is not None
        await self._connection.execute("SELECT 1")
        insert = sql.SQL("INSERT INTO {} (kind, amount) VALUES (%s, %s)").format(self._table)
        kind = self._chance.choice(("created", "updated", "completed"))
        await self._connection.execute(insert, (kind, round(self._chance.around(100, 1), 2)))
        newest = sql.SQL("SELECT id, kind, amount FROM {} ORDER BY id DESC LIMIT 5").format(self._table)
        await self._connection.execute(newest)
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _PRUNE_SECONDS
            old = sql.SQL("DELETE FROM {} WHERE created_at < now() - make_interval(mins => %s)")
            await self._connection.execute(old.format(self._table), (_KEEP_MINUTES,))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
