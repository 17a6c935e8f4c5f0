"""Version 8 of the schema."""

_VERSION_8_HUMAN_WEBHOOKS = """
-- 1: a webhook has reported that the execution waits for human input, and no run has noticed it yet
ALTER TABLE webhook_inbox ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
"""

VERSION_8 = _VERSION_8_HUMAN_WEBHOOKS
