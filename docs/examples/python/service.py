"""staking-service: what is its own. watched.py keeps the contract for it."""

import os

import watched
from aiohttp import web

wallet = watched.answers(os.environ.get("WALLET_SERVICE", "http://wallet-service:3000"))
app = watched.application(os.environ.get("VERSION", "dev"), {"wallet-service": wallet})


async def stake(request: web.Request) -> web.Response:
    """One stake of a customer."""
    if not app[watched.UP]["wallet-service"]:
        raise web.HTTPServiceUnavailable(text="the wallets do not answer")
    return web.json_response({"id": request.match_info["id"]})


app.router.add_get("/api/stakes/{id}", stake)
web.run_app(app, port=int(os.environ.get("PORT", "3005")))
