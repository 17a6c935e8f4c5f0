"""Sign-in: a token that works once becomes the cookie of a session, and each session has a token for its forms."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_SESSIONS = 20
"""Browsers that are signed in at the same time; the oldest session ends when there are more."""
MOST_NOTICES = 5
_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message about an action, shown once on the next page."""

    text: str
    failed: bool = False
    command: str | None = None
    """The command that you may call next."""
    undo_retry_of: str | None = None
    """The batch whose retry can be undone."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in."""

    form_token: str
    """Sent with every form; another site cannot read it."""
    notices: list[Notice] = field(default_factory=list)

    def notify(self, notice: Notice) -> None:
        """Show a message on the next page."""
        del self.notices[: -MOST_NOTICES + 1]
        self.notices.append(notice)

    def take_notices(self) -> list[Notice]:
        """Return the messages that have not been shown yet."""
        notices = self.notices[:]
        self.notices.clear()
        return notices


class Sessions:
    """The sessions of one server, and the tokens that start them.

    Args:
        random_token: returns a new token.
    """

    def __init__(self, random_token: Callable[[], str] = lambda: secrets.token_urlsafe(_BYTES)) -> None:
        self._random_token = random_token
        self._tokens: list[str] = []
        self._sessions: dict[str, Session] = {}

    def new_token(self) -> str:
        """Return a token that signs in one browser, once."""
        token = self._random_token()
        del self._tokens[: -MOST_SESSIONS + 1]
        self._tokens.append(token)
        return token

    def sign_in(self, token: str) -> str | None:
        """Return the cookie of a new session; None if the token is wrong or was used."""
        matches = [known for known in self._tokens if hmac.compare_digest(known.encode(), token.encode())]
        if not matches:
            return None
        self._tokens.remove(matches[0])
        if len(self._sessions) >= MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        cookie = self._random_token()
        self._sessions[cookie] = Session(self._random_token())
        return cookie

    def of(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None if there is none."""
        if cookie is None:
            return None
        found = [name for name in self._sessions if hmac.compare_digest(name.encode(), cookie.encode())]
        return self._sessions[found[0]] if found else None
