"""Where providers of messages call us: `/hooks/PLUGIN`, on a listener of its own that serves nothing else but links to documents.

It owns the size of a request, and which answer makes a provider tell it again. What a request means and whether it is genuine is the
plugin's channel's; what follows from it is `messaging/`'s.
"""

from __future__ import annotations

import asyncio

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dialer_core.errors import StoreError
from dialer_core.http.bodies import body_of
from dialer_core.http.document_links import LinkPages
from dialer_core.log_setup import place_of
from dialer_core.messaging.channel import ForgedError
from dialer_core.messaging.messenger import Messenger

log = structlog.get_logger(__name__)

MAX_BODY = 1 << 20
"""Bytes of a request: the largest of them tells a few hundred receipts."""
READ_LIMIT_S = 10.0
"""A body that has not come within this is not waited for."""


def create_webhook_app(messenger: Messenger, links: LinkPages | None = None) -> Starlette:
    """Return the application that serves the webhooks of a messenger's channels, and links to documents where there are any."""

    async def told(request: Request) -> Response:
        plugin = request.path_params["plugin"]
        sender = messenger.sender(plugin)
        if sender is None:
            return Response(status_code=404)
        if request.method == "GET" and sender.proves_itself:
            challenge = sender.challenge(dict(request.query_params))
            return PlainTextResponse(challenge) if challenge is not None else Response(status_code=403)
        try:
            raw = await asyncio.wait_for(body_of(request, MAX_BODY), READ_LIMIT_S)
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408)
        if request.method == "GET":  # some gateways tell all they have to tell in the query
            raw = request.url.query.encode()
        if raw is None:
            return Response(status_code=413)
        try:
            number = await asyncio.to_thread(sender.webhook, dict(request.headers), raw)
        except ForgedError:
            log.warning("webhook_forged", plugin=plugin)
            return Response(status_code=403)
        except StoreError as error:
            log.warning("webhook_store_away", plugin=plugin, error=str(error))
            return Response(status_code=503)  # it is told again
        except Exception as error:  # noqa: BLE001 - foreign code reading foreign text: it is told apart from a forgery, and goes on
            log.warning("webhook_unreadable", plugin=plugin, error=place_of(error))
            return Response(status_code=400)
        log.debug("webhook_taken", plugin=plugin, number=number)
        return Response(status_code=200)

    routes = [Route("/hooks/{plugin}", told, methods=["GET", "POST"])]
    return Starlette(routes=[*routes, *(links.routes() if links else ())])
