"""Check the token and the headers of a crew before they are sent."""

from batchcrew.base.errors import UsageError
from batchcrew.config.crews import CrewSettings, RemoteCrew
from batchcrew.config.http_headers import name_mistake, value_mistake


def checked_token(crew: str, settings: CrewSettings, override: str | None) -> str:
    """Return the token, without the line break that a file or a secret store may have added.

    Raises:
        UsageError: it contains characters that are not allowed in a header.
    """
    token = override
    if token is None and settings.token is not None:
        token = settings.token.get_secret_value()
    token = (token or "").strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(
            f"crew {crew}: the token contains characters that are not allowed in an HTTP header; copy it again"
        )
    return token


def checked_headers(crew: str, settings: RemoteCrew) -> dict[str, str]:
    """Return the headers of the job file.

    Raises:
        UsageError: one of them is not allowed, or has characters that are not allowed in a header.
    """
    headers = {name: value.get_secret_value().strip() for name, value in settings.headers.items()}
    for name, value in headers.items():
        if mistake := name_mistake(name) or value_mistake(value):
            raise UsageError(f"crew {crew}: the header {name!r} {mistake}")
    if mistake := name_mistake(settings.auth.header):
        raise UsageError(f"crew {crew}: the header {settings.auth.header!r} {mistake}")
    return headers
