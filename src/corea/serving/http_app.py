"""The HTTP application: chat completions, models, health, and further routers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from corea.serving.access import AccessControl
from corea.serving.chat_endpoint import ChatEndpoint
from corea.serving.chat_replies import error_body
from corea.serving.live_service import CascadeService
from corea.serving.text_completions import TextEndpoint

OWNER = "corea"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
CODES = {401: "invalid_api_key", 404: "not_found", 405: "method_not_allowed", 422: "invalid_value"}


def build_app(
    service: CascadeService,
    access: AccessControl,
    extras: Sequence[APIRouter] = (),
    health: Sequence[Callable[[], Mapping[str, Any]]] = (),
) -> FastAPI:
    """The application.

    Args:
        extras: further routers; `Depends(key_guard(access))` asks for a key.
        health: fields that /health shows besides its own.
    """
    endpoint = ChatEndpoint(service, access)
    app = _Application(endpoint, title="corea", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.add_route(CHAT, endpoint, methods=["POST"])
    app.router.add_route(TEXT, TextEndpoint(endpoint), methods=["POST"])
    app.include_router(_models(service), dependencies=[Depends(key_guard(access))])
    app.include_router(_health(service, health))
    for router in extras:
        app.include_router(router)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _internal_error)
    return app


class _Application(FastAPI):
    """Hands chat completions straight to their endpoint, which needs no middleware and no routing."""

    def __init__(self, endpoint: ChatEndpoint, **options: Any):
        super().__init__(**options)
        self.endpoint = endpoint

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        direct = scope["type"] == "http" and scope["path"] == CHAT and scope["method"] == "POST"
        answer = super().__call__ if not direct or self.user_middleware else self.endpoint
        await answer(scope, receive, send)


def key_guard(access: AccessControl) -> Callable[[Request], None]:
    """A dependency that refuses requests without a key, where keys are needed."""

    def guard(request: Request) -> None:
        if access.holder(request.headers.get("authorization")) is None:
            raise HTTPException(401, "an API key is needed: Authorization: Bearer KEY", {"www-authenticate": "Bearer"})

    return guard


def _models(service: CascadeService) -> APIRouter:
    router = APIRouter()

    def described(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [described(name) for name in service.catalogue.models]}

    @router.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        if name not in service.catalogue.models:
            raise HTTPException(404, "there is no such model")
        return described(name)

    return router


def _health(service: CascadeService, fields: Sequence[Callable[[], Mapping[str, Any]]]) -> APIRouter:
    router = APIRouter()

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/health/ready")
    async def ready() -> JSONResponse:
        found = await service.ready()
        tiers = {
            str(number): {"model": service.tiers[number].tier.name, "ready": not reason, "error": reason or None}
            for number, reason in found.items()
        }
        fine = not any(found.values())
        return JSONResponse({"status": "ready" if fine else "not ready", "tiers": tiers}, 200 if fine else 503)

    @router.get("/health")
    async def health() -> dict[str, Any]:
        shown: dict[str, Any] = {"status": "live", "operating_point": service.file.sha256}
        for field in fields:
            shown |= field()
        return shown

    return router


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    body = error_body(error.status_code, str(error.detail), code=CODES.get(error.status_code))
    return JSONResponse(body, error.status_code, error.headers)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return JSONResponse(error_body(422, f"{where}: {first['msg']}", code=CODES[422], param=where), 422)


async def _internal_error(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse(error_body(500, "internal error", code="internal_error"), 500)
