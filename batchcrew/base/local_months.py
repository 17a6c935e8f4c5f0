"""Compute calendar months in local time, as `{date}` is: costs are counted by these months."""

from datetime import datetime


def month_of(moment: datetime) -> str:
    """Return the month of an aware moment in local time: `2026-11`."""
    return f"{moment.astimezone():%Y-%m}"


def month_start(moment: datetime) -> datetime:
    """Return the beginning of an aware moment's month in local time; aware."""
    local = moment.astimezone().replace(tzinfo=None, day=1, hour=0, minute=0, second=0, microsecond=0)
    return local.astimezone()
