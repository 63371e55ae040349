"""The HTTP side of the inbox, and the program that joins it with the SMTP side."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from reprlib import repr as brief

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from simulator.inbox.mail import MailServer
from simulator.inbox.notification import (
    CHANNELS,
    STATUSES,
    Notification,
    PayloadError,
    from_pagerduty,
    from_slack,
    from_webhook,
    read_json,
)
from simulator.inbox.page import render_content, render_page
from simulator.inbox.store import KEPT, Query, Store
from simulator.metrics import CONTENT_TYPE
from simulator.web_common import ALL_ADDRESSES, Handler, Listener, health_body, page_response, problem, refusal

log = logging.getLogger(__name__)

_BODY_LIMIT = 1024 * 1024
_NAME_LIMIT = 100
_SHOWN = 200
MODES = ("ok", "error", "hang")
# Longer than any sender waits for an answer.
_HANG_SECONDS = 120.0
_HANG_STEP_SECONDS = 0.2


class Inbox:
    """Keeps what Slack, PagerDuty, webhooks and mail would have delivered."""

    def __init__(
        self,
        directory: Path,
        http_port: int,
        smtp_port: int,
        *,
        heartbeat_timeout: float = 180.0,
        version: str = "1.0.0",
        host: str = ALL_ADDRESSES,
    ) -> None:
        """`heartbeat_timeout` in seconds. Raises OSError when the directory cannot be written."""
        self._store = Store(directory)
        self._heartbeat_timeout, self._version = heartbeat_timeout, version
        self._modes: dict[str, str] = dict.fromkeys(CHANNELS, "ok")
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._received = Counter(
            "inbox_notifications_total", "Notifications kept.", ("channel", "status"), registry=self._registry
        )
        for channel in CHANNELS:
            for status in STATUSES:
                self._received.labels(channel, status)
        self.web = Listener(self._build, host, http_port)
        self.mail = MailServer(self._keep, self._behave_mail, host, smtp_port)

    async def start(self) -> None:
        """Listen on both ports; returns when they accept connections."""
        await self.web.start()
        await self.mail.start()
        log.info("inbox started", extra={"http_port": self.web.port, "smtp_port": self.mail.port})

    async def stop(self) -> None:
        await self.web.stop()
        await self.mail.stop()
        self._store.close()

    def _keep(self, notification: Notification) -> int:
        identifier = self._store.add(notification, time.time())
        self._received.labels(notification.channel, notification.status).inc()
        log.info(
            "notification received",
            extra={
                "channel": notification.channel,
                "status": notification.status,
                "title": notification.title,
                "receiver": notification.receiver,
            },
        )
        return identifier

    async def _behave(self, channel: str) -> str:
        """The channel's mode, once it no longer hangs."""
        deadline = time.monotonic() + _HANG_SECONDS
        while self._modes[channel] == "hang" and time.monotonic() < deadline:
            await asyncio.sleep(_HANG_STEP_SECONDS)
        return "error" if self._modes[channel] != "ok" else "ok"

    async def _behave_mail(self) -> str:
        return await self._behave("email")

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[_explain], client_max_size=_BODY_LIMIT)
        app.router.add_post("/slack", self._slack)
        app.router.add_post("/pagerduty/v2/enqueue", self._pagerduty)
        app.router.add_post("/webhook", self._webhook)
        app.router.add_post("/webhook/{name}", self._webhook)
        app.router.add_post("/heartbeat/{name}", self._beat)
        app.router.add_get("/", self._page)
        app.router.add_get("/content", self._content)
        app.router.add_get("/api/notifications", self._list)
        app.router.add_get("/api/notifications/count", self._count)
        app.router.add_delete("/api/notifications", self._clear)
        app.router.add_get("/api/heartbeats", self._list_heartbeats)
        app.router.add_get("/api/behaviour", self._show_behaviour)
        app.router.add_put("/api/behaviour", self._set_behaviour)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _take(
        self, request: web.Request, channel: str, read: Callable[[bytes], Notification]
    ) -> web.Response | None:
        """Keep what a request brings; an answer where the channel misbehaves, else None."""
        body = await request.read()
        if await self._behave(channel) == "error":
            return problem(500, f"The inbox was told to fail on {channel}; PUT /api/behaviour sets it back to ok.")
        if request.transport is None:
            # The sender gave up while the channel hung, and will send it again.
            return problem(503, "The sender is gone; nothing was kept.")
        self._keep(read(body))
        return None

    async def _slack(self, request: web.Request) -> web.Response:
        refused = await self._take(request, "slack", lambda body: from_slack(read_json(body)))
        return refused or web.Response(text="ok")

    async def _pagerduty(self, request: web.Request) -> web.Response:
        refused = await self._take(request, "pagerduty", lambda body: from_pagerduty(read_json(body)))
        key = read_json(await request.read()).get("dedup_key")
        body = {"status": "success", "message": "Event processed", "dedup_key": key}
        return refused or web.json_response(body, status=202)

    async def _webhook(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "")
        refused = await self._take(request, "webhook", lambda body: from_webhook(read_json(body), name))
        return refused or web.json_response({"status": "ok"})

    async def _beat(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if len(name) > _NAME_LIMIT:
            return problem(400, f"The heartbeat's name is too long; use at most {_NAME_LIMIT} characters.")
        await request.read()
        self._store.beat(name, time.time())
        return web.json_response({"status": "ok", "name": name})

    def _hearts(self) -> list[dict[str, object]]:
        return self._store.heartbeats(time.time(), self._heartbeat_timeout)

    async def _page(self, _request: web.Request) -> web.Response:
        return page_response(render_page(self._store.find(Query(limit=_SHOWN)), self._hearts()))

    async def _content(self, _request: web.Request) -> web.Response:
        content = render_content(self._store.find(Query(limit=_SHOWN)), self._hearts())
        return web.Response(text=content, content_type="text/html")

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"notifications": self._store.find(_query(request))})

    async def _count(self, _request: web.Request) -> web.Response:
        counts = self._store.counts()
        by_channel = {
            channel: {status: counts.get((channel, status), 0) for status in STATUSES} for channel in CHANNELS
        }
        return web.json_response({"total": sum(counts.values()), "by_channel": by_channel})

    async def _clear(self, _request: web.Request) -> web.Response:
        return web.json_response({"deleted": self._store.clear()})

    async def _list_heartbeats(self, _request: web.Request) -> web.Response:
        return web.json_response({"heartbeats": self._hearts()})

    async def _show_behaviour(self, _request: web.Request) -> web.Response:
        return web.json_response(self._modes)

    async def _set_behaviour(self, request: web.Request) -> web.Response:
        given = read_json(await request.read())
        channel, mode = given.get("channel"), given.get("mode")
        if channel not in CHANNELS or mode not in MODES:
            raise PayloadError(f"Send a channel ({', '.join(CHANNELS)}) and a mode ({', '.join(MODES)}).")
        self._modes[str(channel)] = str(mode)
        return web.json_response(self._modes)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response(health_body(self._version, {}))

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE})


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except PayloadError as error:
        return problem(400, str(error))
    except web.HTTPRequestEntityTooLarge:
        return problem(413, f"The body is too large; send at most {_BODY_LIMIT} bytes.")
    except (web.HTTPException, web.RequestPayloadError) as error:
        return refusal(request, error)


def _query(request: web.Request) -> Query:
    """Raises PayloadError for a filter that cannot be met."""
    asked = request.query
    unknown = set(asked) - set(Query.__slots__)
    if unknown:
        raise PayloadError(f"There is no filter {brief(min(unknown))}; use {', '.join(Query.__slots__)}.")
    for key, known in (("channel", CHANNELS), ("status", STATUSES)):
        if asked.get(key, "") not in ("", *known):
            raise PayloadError(f"{key} {brief(asked[key])} is unknown; use {', '.join(known)}.")
    try:
        limit = int(asked.get("limit", 100))
    except ValueError:
        limit = 0
    if not 1 <= limit <= KEPT:
        raise PayloadError(f"limit is {brief(asked['limit'])}; use a whole number from 1 to {KEPT}.")
    since = _moment(asked.get("since", ""))
    return Query(asked.get("channel", ""), asked.get("status", ""), asked.get("alertname", ""), since, limit)


def _moment(text: str) -> float:
    """A Unix time, from Unix seconds or RFC 3339; 0 for an empty text."""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        try:
            # A plus sign in a query that was not encoded arrives as a space.
            seconds = datetime.fromisoformat(text.replace(" ", "+")).timestamp()
        except ValueError:
            seconds = math.nan
    if not math.isfinite(seconds):
        raise PayloadError(f"since is {brief(text)}; use Unix seconds or a time such as 2025-11-30T10:30:00Z.")
    return seconds
