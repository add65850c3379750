"""Files of the screens: read once, kept compressed, served with a name that changes when they do.

It owns nothing but bytes: which files there are, a folder says. No page asks for anything elsewhere.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from dialer_core.web.problems import Problem

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOREVER = "public, max-age=31536000, immutable"
"""A file's address holds its digest, so what was fetched once stays right."""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    squeezed: bytes
    media_type: str
    version: str


class Assets:
    """The files of one folder, served below one path.

    Parameters
    ----------
    folder
        Every `.css`, `.js`, `.svg` and `.txt` in it, none in folders below.
    prefix
        Where they are served: `/assets`.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.prefix = prefix
        self._files = {
            path.name: _read(path)
            for path in sorted(folder.iterdir())
            if path.is_file() and path.suffix in _TYPES
        }

    def url(self, name: str) -> str:
        """Return the address of a file; KeyError where there is none."""
        return f"{self.prefix}/{name}?v={self._files[name].version}"

    async def serve(self, request: Request, name: str) -> Response:
        """Answer a request for a file."""
        found = self._files.get(name)
        if found is None:
            raise Problem(404, "unknown", "there is no such file")
        headers = {"Cache-Control": FOREVER, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                found.squeezed, media_type=found.media_type, headers=headers | {"Content-Encoding": "gzip"}
            )
        return Response(found.content, media_type=found.media_type, headers=headers)


def _read(path: Path) -> _File:
    content = path.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:12]
    return _File(content, gzip.compress(content, 9, mtime=0), _TYPES[path.suffix], version)
