"""What the HTTP servers of this package share."""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from aiohttp import web

from simulator.faults import FaultBook, FaultError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Containers are reached on every address they have; what is published is decided outside.
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104

_SHOWN = 100


def utc_now() -> str:
    """The time as the platform's /health form has it: UTC, whole seconds, Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def health_body(version: str, dependencies: Mapping[str, bool]) -> dict[str, object]:
    """The platform's /health form; a service that lost a dependency is degraded, and alive."""
    return {
        "status": "ok" if all(dependencies.values()) else "degraded",
        "timestamp": utc_now(),
        "version": version,
        "dependencies": {name: "ok" if up else "down" for name, up in dependencies.items()},
    }


def problem(status: int, text: str) -> web.Response:
    """An error as JSON with one sentence."""
    return web.json_response({"error": text}, status=status)


def page_response(page: str) -> web.Response:
    """An HTML page that loads nothing from elsewhere; `{{nonce}}` in it marks its own script and style."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return web.Response(
        text=page.replace("{{nonce}}", nonce),
        content_type="text/html",
        headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"},
    )


def refusal(request: web.Request, error: web.HTTPException | web.RequestPayloadError) -> web.Response:
    """The server's own refusal as one sentence: no such path, another method, a body that cannot be read."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(error.status, f"This path does not take {shown(request.method)}; use {allowed}.")
    if isinstance(error, web.HTTPNotFound):
        return problem(error.status, f"There is nothing at {shown(request.path)}; correct the path.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return problem(error.status, "The body is too large; send less.")
    if isinstance(error, web.HTTPException):
        return problem(error.status, f"The request cannot be served ({error.reason}).")
    return problem(400, "The body cannot be read; send it whole, and as its Content-Encoding says.")


def shown(text: str) -> str:
    """A text of the sender's as a sentence can hold it: one line, and of a long one the beginning."""
    text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


@web.middleware
async def explain_fault_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers a FaultError, and what the server itself refuses, with its status and one sentence."""
    try:
        return await handler(request)
    except FaultError as error:
        return problem(error.status, str(error))
    except (web.HTTPException, web.RequestPayloadError) as error:
        return refusal(request, error)


async def read_parameters(request: web.Request) -> object:
    """A fault's parameters; an empty body means the defaults. Raises FaultError (400)."""
    body = await request.read()
    try:
        return json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        raise FaultError(400, 'The body is not valid JSON; send parameters such as {"ratio": 0.5}.') from error


class Listener:
    """A server that can stop listening and start again on the same port."""

    def __init__(
        self, build: Callable[[], web.Application], host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> None:
        """Port 0 takes a free one, and keeps it from then on; with `tls` it speaks HTTPS."""
        self._build, self._host, self._tls = build, host, tls
        self.port = port
        self._runner: web.AppRunner | None = None

    @property
    def listening(self) -> bool:
        return self._runner is not None

    async def start(self) -> None:
        if self._runner is not None:
            return
        # A runner that was cleaned up cannot be used again, nor can its application.
        runner = web.AppRunner(self._build(), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, self._host, self.port, ssl_context=self._tls, reuse_address=True).start()
        self._runner = runner
        self.port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Refuse connections from now on and close those that are open."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()


def add_fault_routes(app: web.Application, faults: FaultBook) -> None:
    """GET /faults, PUT and DELETE /faults/NAME, DELETE /faults."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(faults.describe())

    async def inject(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        faults.spec(name)
        fault = faults.inject(name, await read_parameters(request))
        return web.json_response({"fault": name, **fault.describe()})

    async def heal(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({"fault": name, "was_active": faults.heal(name)})

    async def heal_all(_request: web.Request) -> web.Response:
        return web.json_response({"healed": [name for name in faults.active_names() if faults.heal(name)]})

    app.router.add_get("/faults", show)
    app.router.add_put("/faults/{name}", inject)
    app.router.add_delete("/faults/{name}", heal)
    app.router.add_delete("/faults", heal_all)
