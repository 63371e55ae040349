"""The SMTP side of the inbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from simulator.inbox.notification import Notification, from_email

log = logging.getLogger(__name__)

_SIZE_LIMIT = 1024 * 1024


class MailServer:
    """Accepts mail for anyone. `behave` answers "ok" or "error", after as long as the channel hangs."""

    def __init__(
        self, keep: Callable[[Notification], int], behave: Callable[[], Awaitable[str]], host: str, port: int
    ) -> None:
        self._keep, self._behave, self._host = keep, behave, host
        self.port = port
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()

        def session() -> SMTP:
            return SMTP(self, data_size_limit=_SIZE_LIMIT, enable_SMTPUTF8=True, hostname="inbox", loop=loop)

        self._server = await loop.create_server(session, self._host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if await self._behave() == "error":
            return "451 4.3.0 The inbox was told to refuse mail"
        content = envelope.content
        body = content if isinstance(content, bytes) else str(content or "").encode()
        try:
            message = cast("EmailMessage", message_from_bytes(body, policy=cast("Any", policy.default)))
            self._keep(from_email(message, envelope.rcpt_tos))
        except Exception as problem:  # the mail parser fails in many ways on a broken mail
            log.warning("mail refused", extra={"reason": type(problem).__name__})
            return "554 5.6.0 The mail cannot be read; send a well-formed one"
        return "250 2.0.0 Kept"
