"""Decide which requests are answered: those of a browser that is signed in, for this host, and from this page.

| threat | answer |
|---|---|
| another user of this machine opens the port | a cookie is required; it comes from a token that works once |
| a site lets its name resolve to loopback (DNS rebinding) | `Host` must be a name of loopback |
| a site sends a form to the page (CSRF) | `SameSite=Strict`, the `Origin`, and the session's form token are checked |
| a job or an answer of a crew contains a script | everything is escaped; the CSP allows only this package's script |
| a site shows the page in a frame | `frame-ancestors 'none'` |
"""

import hmac
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from batchcrew.web.sessions import Session
from batchcrew.web.site import FORM_TOKEN, SITE, cookie_name, message_page, session_if_any

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PUBLIC = ("/sign-in", "/static/")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send forms with `Origin: null`
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SIGN_IN = (
    "This page opens with the link that `batchcrew ui` prints; the link works once, in one browser. For a further"
    " browser, choose “Link for another browser” on the page that is open, or start `batchcrew ui` again."
)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers to every answer, also to those of aiohttp itself."""
    del request
    response.headers.update(HEADERS)


def is_loopback(host: str) -> bool:
    """Return whether a `Host` header names loopback. Its port may differ: ssh forwards another one."""
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError:
        return False


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests for another host, without a session, or from another page."""
    if not is_loopback(request.headers.get("Host", "")):
        return _refused(web.Response(status=421, text="This address is not that of the live page.\n"))
    if request.path.startswith(PUBLIC):
        return await handler(request)
    session = session_if_any(request)
    if session is None:
        return _refused(message_page(request, "Not signed in", [_SIGN_IN], status=403))
    if request.method != "GET":
        if request.headers.get("Origin") != f"{request.scheme}://{request.headers['Host']}":
            return _refused(message_page(request, "Refused", ["This request came from another page."], status=403))
        if not await _has_form_token(request, session):
            said = ["The form is not of this session. Reload the page and try again."]
            return _refused(message_page(request, "Refused", said, status=403))
    return await handler(request)


async def _has_form_token(request: web.Request, session: Session) -> bool:
    """Return whether a form has the session's token. Raise HTTPRequestEntityTooLarge if it is too large."""
    form = await request.post()
    given = form.get(FORM_TOKEN)
    return isinstance(given, str) and hmac.compare_digest(given.encode(), session.form_token.encode())


def _refused(response: web.Response) -> web.Response:
    """Return an answer after which the connection is closed: the body is not read."""
    response.force_close()
    return response


async def sign_in(request: web.Request) -> web.Response:
    """Turn the token of the printed link into a cookie.

    The answer is a page that opens the next one, not a redirect: after a link in another page, such as a web terminal,
    browsers do not send a `SameSite=Strict` cookie with a redirected request.
    """
    site = request.app[SITE]
    cookie = site.sessions.sign_in(request.query.get("token", ""))
    if cookie is None and session_if_any(request) is None:
        return _refused(message_page(request, "This link was used already", [_SIGN_IN], status=403))
    response = web.Response(text=site.render("signed_in.html"), content_type="text/html")
    if cookie is not None:
        response.set_cookie(cookie_name(request), cookie, httponly=True, samesite="Strict", path="/")
    return response
