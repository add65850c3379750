"""The dependency of a route that needs a scope. The guard has found out who asks; this checks what they may do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from dialer_core.web.principals import Principal, Scope
from dialer_core.web.problems import Problem

_BEARER = HTTPBearer(
    auto_error=False, description="The token of `http.token_file`, or one of `dialer tokens add`"
)


def principal_of(request: Request) -> Principal:
    """Return who asks."""
    principal: Principal = request.state.principal
    return principal


def _checked(
    request: Request, needed: SecurityScopes, _described: Annotated[Any, Security(_BEARER)]
) -> Principal:
    principal = principal_of(request)
    if missing := {Scope(name) for name in needed.scopes} - principal.scopes:
        raise Problem(
            403, "forbidden", f"this needs the scope {min(missing).value}, which {principal.name} lacks"
        )
    return principal


def needs(scope: Scope) -> Any:
    """Return the dependency of a route, or of a whole router, that needs this scope."""
    return Security(_checked, scopes=[scope.value])
