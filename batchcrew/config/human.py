"""Settings for executions that wait for human input."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from batchcrew.config.declarations import DefaultText, Example, Settings
from batchcrew.config.values import PositiveDuration


class WebhookAuthentication(Settings):
    """Authentication of the crew at the receiver of a webhook."""

    strategy: Literal["bearer", "basic"]
    """`bearer` sends `token`, `basic` sends `username` and `password`."""
    token: SecretStr | None = None
    """For `bearer`. Write ${VARIABLE}, never the token itself."""
    username: str | None = Field(default=None, min_length=1)
    """For `basic`."""
    password: SecretStr | None = None
    """For `basic`. Write ${VARIABLE}, never the password itself."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needed = ("token",) if self.strategy == "bearer" else ("username", "password")
        for name in ("token", "username", "password"):
            given = getattr(self, name) is not None
            if given != (name in needed):
                verb = "needs" if name in needed else "does not take"
                raise ValueError(f"authentication strategy {self.strategy} {verb} `{name}`")
        return self


class HumanWebhook(Settings):
    """The receiver that the crew notifies when an execution waits for human input."""

    url: str = Field(pattern=r"^https?://[^\s/]", max_length=2000)
    """Its http or https URL."""
    authentication: WebhookAuthentication | None = None
    """Authentication of the crew at that URL."""


class HumanSettings(Settings):
    """Behaviour while an execution waits for human input."""

    hold_slot: bool = False
    """Keep the slot of a waiting execution, so that no other job starts in its place."""
    timeout: Annotated[PositiveDuration | None, Example("72h")] = None
    """Maximum time to wait for human input, after which the execution times out. Default: no limit."""
    poll: PositiveDuration = 30.0
    """Poll a waiting execution this often, to notice answers that were given elsewhere."""
    webhook: Annotated[
        HumanWebhook | None,
        DefaultText("none"),
        Example("{url: https://example.com/waiting, authentication: {strategy: bearer, token: secret}}"),
    ] = None
    """The receiver that the crew notifies when an execution waits (`humanInputWebhook`)."""
