"""Pages: templates with the one design around them, texts in the language of whoever looks, everything escaped.

It owns how a page is put together. What is on it, its routes say. A plugin makes one `Pages` of its own folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from dialer_core.web.assets import Assets
from dialer_core.web.principals import Principal, Scope
from dialer_core.web.texts import Texts, language_of

HERE = Path(__file__).parent
CORE_ASSETS = Assets(HERE / "static", "/assets")
THEME_COOKIE = "marcador_theme"


@dataclass(frozen=True, slots=True)
class PageLink:
    """A page that people go to: it stands in the bar of every page for whoever has its scope."""

    path: str
    title: Mapping[str, str]
    """In each language."""
    scope: Scope


class Pages:
    """The pages of one part.

    Parameters
    ----------
    folder
        With `templates/`, `texts.toml` and perhaps `static/`.
    prefix
        Below which the part serves `static/`: `/status/assets`.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.texts = Texts(HERE / "texts.toml", *([folder / "texts.toml"] if folder != HERE else []))
        own = Assets(folder / "static", prefix) if (folder / "static").is_dir() else None
        self.assets = own or CORE_ASSETS
        loaders = [jinja2.FileSystemLoader(folder / "templates")]
        if folder != HERE:
            loaders.append(jinja2.FileSystemLoader(HERE / "templates"))
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader(loaders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"asset": self.assets.url, "core_asset": CORE_ASSETS.url}

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **context: Any,
    ) -> HTMLResponse:
        """Return a template as a page, or a part of one; every value is escaped."""
        html = self._environment.get_template(template).render(
            **self._around(request), status=status, **context
        )
        return HTMLResponse(html, status_code=status, headers=dict(headers or {}))

    def _around(self, request: Request) -> dict[str, Any]:
        language = language_of(request)
        principal: Principal | None = getattr(request.state, "principal", None)
        links: list[PageLink] = getattr(request.app.state, "links", [])
        theme = request.cookies.get(THEME_COOKIE, "")

        def text(key: str, **values: object) -> str:
            return self.texts.get(language, key, **values)

        return {
            "t": text,
            "texts": lambda name: self.texts.table(language, name),
            "language": language,
            "theme": theme if theme in ("light", "dark") else "",
            "who": principal,
            "csrf": principal.csrf if principal else "",
            "links": [link for link in links if principal and link.scope in principal.scopes],
            "path": request.url.path,
        }
