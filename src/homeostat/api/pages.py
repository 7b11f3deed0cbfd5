"""Serves the built dashboard: hashed files for ever, the page itself always asked for anew, all compressed.

A path that is neither a file nor an API call is a page of the dashboard's own router and gets ``index.html``.
"""

import base64
import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from homeostat.api.encoding import accepts_gzip

INDEX = "index.html"
HASHED = "assets/"
"""Vite puts a hash of the content into the name of every file in here."""

FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
COMPRESS_FROM_BYTES = 1024
PLAIN_TYPES = ("text/", "application/javascript", "application/json", "application/manifest+json", "image/svg+xml")

NOT_BUILT = """The dashboard is not built here.

Build it with:    python hatch_build.py
then restart Homeostat. (An installed wheel brings it along.)

The API is there all the same: /docs, for example /api/overview and /api/incidents.
"""

INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Asset:
    """One file, ready to be sent."""

    body: bytes
    zipped: bytes | None
    media_type: str
    etag: str
    cache_control: str
    policy: str | None  # content security policy, for pages
    version: tuple[int, int]  # modification time and size of the file that it was read from


@dataclass
class Pages:
    """The files under ``root``, read when asked for and kept until they change."""

    root: Path
    _assets: dict[str, Asset] = field(default_factory=dict[str, "Asset"])

    def find(self, path: str) -> Asset | None:
        """The file at a path below the root; None when there is none (or it lies outside)."""
        try:
            file = (self.root / path).resolve()
            if not (file.is_relative_to(self.root.resolve()) and file.is_file()):
                return None
            stat = file.stat()
        except (OSError, ValueError):  # a name that is too long, or that holds a null byte
            return None
        version = (stat.st_mtime_ns, stat.st_size)
        asset = self._assets.get(path)
        if asset is None or asset.version != version:
            # Bounded by the files there are: a path that is no file is never kept.
            asset = self._assets[path] = _read(file, path, version)
        return asset


def _read(file: Path, path: str, version: tuple[int, int]) -> Asset:
    body = file.read_bytes()
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    beside = file.with_name(f"{file.name}.gz")
    zipped = None
    if beside.is_file():
        zipped = beside.read_bytes()
    elif len(body) >= COMPRESS_FROM_BYTES and media_type.startswith(PLAIN_TYPES):
        zipped = gzip.compress(body, 9, mtime=0)
    return Asset(
        body=body,
        zipped=zipped,
        media_type=f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type,
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        cache_control=FOR_EVER if path.startswith(HASHED) else ASK_AGAIN,
        policy=page_policy(body) if media_type == "text/html" else None,
        version=version,
    )


def page_policy(html: bytes) -> str:
    """The content security policy of a page: own files, and exactly the inline scripts that it was built with."""
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in INLINE_SCRIPT.findall(html)]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",  # the dialogs' scroll lock is a style element made at run time
            "img-src 'self' data:",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


def pages_router(static_dir: Path | None) -> APIRouter:
    """Answers every path that nothing else has answered: include it last."""
    router = APIRouter(include_in_schema=False)
    pages = Pages(static_dir) if static_dir is not None else None

    @router.api_route("/{path:path}", methods=["GET", "HEAD"])
    async def page(path: str, request: Request) -> Response:
        """A file of the dashboard, or its page."""
        if path.split("/", 1)[0] in {"api", "ofrep", "v1"}:
            return JSONResponse({"detail": f"There is no /{path}. GET /docs lists every call."}, 404)
        asset = pages.find(path or INDEX) if pages is not None else None
        if asset is None and pages is not None:
            if path.startswith(HASHED):
                return PlainTextResponse("There is no such file. Reload the page.\n", 404)
            asset = pages.find(INDEX)
        return PlainTextResponse(NOT_BUILT) if asset is None else _send(asset, request)

    return router


def _send(asset: Asset, request: Request) -> Response:
    headers = {"etag": asset.etag, "cache-control": asset.cache_control, "vary": "accept-encoding"}
    if asset.policy is not None:
        headers["content-security-policy"] = asset.policy
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    body = asset.body
    if asset.zipped is not None and accepts_gzip(request.headers.get("accept-encoding", "")):
        body = asset.zipped
        headers["content-encoding"] = "gzip"
    return Response(body, media_type=asset.media_type, headers=headers)
