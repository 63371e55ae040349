"""What every service has: the metrics of capability `http`, /health, and an eye on its dependencies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime

from aiohttp import ClientSession, web
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.aiohttp import make_aiohttp_handler

Check = Callable[[], Awaitable[object]]
UP = web.AppKey("up", dict[str, bool])
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)

REQUESTS = Counter("http_requests_total", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram("http_request_duration_seconds", "Time to the answer.", ["method", "route"], buckets=BUCKETS)
DEPENDENCY_UP = Gauge("service_dependency_up", "1 when the dependency answers, else 0.", ["dependency"])
BUILD_INFO = Gauge("service_build_info", "Always 1; the running version.", ["version"])


def application(version: str, dependencies: Mapping[str, Check]) -> web.Application:
    """An application that is watched. A check raises where its dependency does not answer."""
    up = dict.fromkeys(dependencies, False)
    BUILD_INFO.labels(version).set(1)

    async def health(_request: web.Request) -> web.Response:
        return web.json_response(
            {
                "status": "ok" if all(up.values()) else "degraded",
                "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "version": version,
                "dependencies": {name: "ok" if reached else "down" for name, reached in up.items()},
            }
        )

    async def work(app: web.Application) -> AsyncIterator[None]:
        for route in app.router.routes():
            if route.resource and route.method != "HEAD":
                SECONDS.labels(route.method, route.resource.canonical)
                for status in (200, 500, 503):
                    REQUESTS.labels(route.method, route.resource.canonical, status)
        tasks = [asyncio.create_task(watch(up, name, check)) for name, check in dependencies.items()]
        yield
        for task in tasks:
            task.cancel()

    app = web.Application(middlewares=[timed])
    app[UP] = up
    app.on_response_prepare.append(counted)
    app.cleanup_ctx.append(work)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", make_aiohttp_handler())
    return app


def place(request: web.Request) -> tuple[str, str]:
    """Method and route template. What no route takes shares one place, whatever was asked."""
    resource = request.match_info.route.resource
    return (request.method, resource.canonical) if resource else ("other", "none")


@web.middleware
async def timed(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Times what handlers do, also when they raise."""
    with SECONDS.labels(*place(request)).time():
        return await handler(request)


async def counted(request: web.Request, answer: web.StreamResponse) -> None:
    """Counts every answer, also the 500 that follows an exception."""
    REQUESTS.labels(*place(request), answer.status).inc()


async def watch(up: dict[str, bool], name: str, check: Check) -> None:
    """Keeps one state of a dependency, which the metric and /health both tell."""
    DEPENDENCY_UP.labels(name)
    while True:
        try:
            async with asyncio.timeout(2):
                await check()
            up[name] = True
        except Exception:  # whatever a driver raises, the service lives on without it
            up[name] = False
        DEPENDENCY_UP.labels(name).set(up[name])
        await asyncio.sleep(3)


def answers(url: str) -> Check:
    """The check of another service: its /health answers 200, also while it is degraded itself."""

    async def check() -> None:
        async with ClientSession(raise_for_status=True) as session, session.get(f"{url}/health"):
            return

    return check
