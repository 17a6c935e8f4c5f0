"""Render the number of webhooks as one line."""

from batchcrew.model.webhook import WebhookCounts

_NAMES = {
    "used": "used",
    "progress": "about progress",
    "found_again": "named a kickoff in doubt",
    "repeated": "repeated",
    "late": "late",
    "mismatched": "named another execution",
    "malformed": "malformed",
    "oversized": "too large",
    "dropped": "dropped",
    "forged": "without a valid token",
}


def webhooks_line(counts: WebhookCounts) -> str:
    """Return `webhooks: 200 received (198 used, 2 late)`; empty if none came."""
    numbers = counts.as_dict()
    if not any(numbers.values()):
        return ""
    parts = [f"{numbers[name]} {words}" for name, words in _NAMES.items() if numbers[name]]
    return f"webhooks: {counts.received} received" + (f" ({', '.join(parts)})" if parts else "")
