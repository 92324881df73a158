"""Who may ask: this machine's own browser, a page of ours, or whoever has the token. Nobody else, however they come."""

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from openjepa.explore.routes import Problem

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "openjepa_token"
# Svelte writes style attributes; everything else comes from files of ours, and nothing from elsewhere
CSP = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Door:
    """Checks of every request.

    On loopback, Host must be this machine's (a foreign name that resolves here is DNS rebinding) or one of `names`
    (a proxy's). Bound elsewhere, the token is asked for instead: in the address, then in a cookie.
    """

    token: str = ""
    names: tuple[str, ...] = ()

    def refusal(self, request: Request) -> Problem | None:
        """Why this request is turned away; None lets it in."""
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if not self.token and host not in (*LOOPBACK, *self.names):
            return Problem(403, "foreign host", f"the page was asked for as {host!r}", "behind a proxy, name it: --allow-host NAME")
        origin = request.headers.get("origin")
        if origin is not None and (urlsplit(origin).hostname or "") != host:
            return Problem(403, "foreign origin", f"a page of {origin!r} asked")
        if request.headers.get("sec-fetch-site") == "cross-site" and request.headers.get("sec-fetch-mode") != "navigate":
            return Problem(403, "foreign origin", "a page of another site asked")
        if self.token and not self.known(request):
            return Problem(
                401, "no token", "this page is open to other machines, so it asks for a token", "use the whole address that was printed"
            )
        return None

    def known(self, request: Request) -> bool:
        said = request.query_params.get("token") or request.cookies.get(COOKIE) or ""
        return hmac.compare_digest(said.encode(), self.token.encode())

    def headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Rules for the page, and the cookie for whoever came with the token."""
        rules = {
            "content-security-policy": CSP,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }
        if self.token and hmac.compare_digest(request.query_params.get("token", "").encode(), self.token.encode()):
            rules["set-cookie"] = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        return [(name.encode(), value.encode()) for name, value in rules.items()]
