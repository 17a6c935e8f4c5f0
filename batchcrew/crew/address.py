"""The address by which a crew is known in the ledger."""

from yarl import URL

from batchcrew.config.crews import CrewSettings


def crew_address(crew: CrewSettings) -> str:
    """Return the address by which the ledger identifies a crew; a URL has one spelling, however it is written."""
    location = crew.location.strip()
    url = http_url(location)
    return location if url is None else str(url).rstrip("/")


def http_url(text: str) -> URL | None:
    """Return the http or https URL that `text` is; None if it is not one."""
    try:
        url = URL(text)
        usable = url.scheme in {"http", "https"} and url.host and url.port
    except ValueError:
        return None
    return url if usable else None
