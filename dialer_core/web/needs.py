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


def _own(principal: Principal, request: Request) -> bool:
    """Say whether an agent asks about themselves."""
    return (
        Scope.DESK in principal.scopes
        and bool(principal.agent)
        and request.path_params.get("agent") == principal.agent
    )


def _checked_own(
    request: Request, needed: SecurityScopes, _described: Annotated[Any, Security(_BEARER)]
) -> Principal:
    principal = principal_of(request)
    return principal if _own(principal, request) else _checked(request, needed, _described)


async def _checked_account(
    request: Request, needed: SecurityScopes, _described: Annotated[Any, Security(_BEARER)]
) -> Principal:
    principal = principal_of(request)
    if not at_a_desk(principal):
        return _checked(request, needed, _described)
    rights = request.app.state.parts.rights
    request.state.agent = await rights.view(
        principal.agent
    )  # asked of the engine once: the person is waited for
    if not await rights.may_see(request.state.agent, _account_of(request)):
        raise Problem(
            403,
            "forbidden",
            "an agent sees the account they talk about, are shown, or last talked about, and no other",
        )
    return principal


async def _checked_write(
    request: Request, needed: SecurityScopes, _described: Annotated[Any, Security(_BEARER)]
) -> Principal:
    principal = principal_of(request)
    if not at_a_desk(principal):
        return _checked(request, needed, _described)
    if not await request.app.state.parts.rights.may_write(principal.agent, _account_of(request)):
        raise Problem(
            403, "forbidden", "an agent writes about accounts they have talked about lately, and no other"
        )
    return principal


def at_a_desk(principal: Principal) -> bool:
    """Say whether somebody is an agent at their desk, who sees no records but those of their conversations."""
    return bool(principal.agent) and Scope.DESK in principal.scopes and Scope.RECORDS not in principal.scopes


def _account_of(request: Request) -> str:
    return str(request.path_params.get("account", "")).lower()


def _checked_any(
    request: Request, needed: SecurityScopes, _described: Annotated[Any, Security(_BEARER)]
) -> Principal:
    principal = principal_of(request)
    if not principal.scopes.intersection(map(Scope, needed.scopes)):
        raise Problem(
            403,
            "forbidden",
            f"this needs one of the scopes {', '.join(needed.scopes)}, and {principal.name} has none",
        )
    return principal


def needs_any(*scopes: Scope) -> Any:
    """Return the dependency of a route that needs one of these scopes."""
    return Security(_checked_any, scopes=[scope.value for scope in scopes])


def needs_own(scope: Scope) -> Any:
    """Return the dependency of a route about `{agent}`: the scope, or to be that agent at their desk."""
    return Security(_checked_own, scopes=[scope.value])


def needs_account(*scopes: Scope) -> Any:
    """Return the dependency of a route about `{account}`: every one of the scopes, or to be the agent who talks about it, or last did."""
    return Security(_checked_account, scopes=[scope.value for scope in scopes])


def needs_account_writer(*scopes: Scope) -> Any:
    """Return the dependency of a route that writes about `{account}`: every one of the scopes, or to be an agent who talked about it lately."""
    return Security(_checked_write, scopes=[scope.value for scope in scopes])


def needs(scope: Scope) -> Any:
    """Return the dependency of a route, or of a whole router, that needs this scope."""
    return Security(_checked, scopes=[scope.value])
