"""The crews of a job file: deployed at a URL, the built-in demo crew, or a CrewAI crew served for the run."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, SecretStr, Tag, model_validator

from batchcrew.base.costs import PriceList
from batchcrew.base.serving import (
    DEFAULT_EXECUTION_SECONDS,
    DEFAULT_THREADS,
    DEFAULT_WORKERS,
    MAX_THREADS,
    MAX_WORKERS,
    Isolation,
    Memory,
    check_input_name,
)
from batchcrew.config.declarations import DefaultText, Settings
from batchcrew.config.values import (
    Amount,
    Currency,
    NonNegativeDuration,
    PositiveDuration,
    PriceText,
    RateText,
    Size,
)

EMBEDDED = "embedded"
"""Value of `crew.url` that selects the demo crew."""
DEFAULT_CREW = "default"
"""Name of the crew of a job file that has a single one."""


_BODY_KEYS = frozenset(
    {"inputs", "meta", "taskWebhookUrl", "stepWebhookUrl", "crewWebhookUrl", "humanInputWebhook", "webhooks"}
)
"""The keys of a kickoff's body in the crew API."""


def _texts(value: object) -> object:
    """Convert whole numbers to text, so that `X-Tenant: 42` needs no quotes."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: str(item) if isinstance(item, int) and not isinstance(item, bool) else item
        for name, item in value.items()
    }


class PriceSettings(Settings):
    """Prices of a crew's executions."""

    per_kickoff: Amount | None = None
    """Price of one kickoff. Refused kickoffs cost nothing."""
    per_1k_prompt_tokens: Amount | None = None
    """Price of 1,000 prompt tokens, as the crew reports them."""
    per_1k_completion_tokens: Amount | None = None
    """Price of 1,000 completion tokens."""
    currency: Currency = ""
    """Currency of all prices: USD. Amounts in different currencies are never added up."""

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        prices = (self.per_kickoff, self.per_1k_prompt_tokens, self.per_1k_completion_tokens)
        if all(price is None for price in prices):
            raise ValueError(
                "no price is given (expected per_kickoff, per_1k_prompt_tokens or per_1k_completion_tokens)"
            )
        return self


class CrewSettings(Settings, ABC):
    """Settings that all crews have."""

    token: SecretStr | None = None
    """Bearer token. Write ${CREW_TOKEN}, never the token itself."""
    concurrency: Annotated[int | None, DefaultText("the batch's")] = Field(default=None, ge=1, le=10_000)
    """Maximum executions in progress on this crew. Default: `run.concurrency`."""
    rate: RateText | None = None
    """Maximum kickoffs of this crew per second, minute or hour."""
    connect_timeout: PositiveDuration = 10.0
    """Maximum time to connect to the server."""
    read_timeout: PositiveDuration = 60.0
    """Maximum time without data while waiting for an answer."""
    keepalive: NonNegativeDuration = 1.0
    """Reuse an idle connection for kickoffs for this long; 0 is never. If the server closes a connection just as a
    kickoff is sent, the kickoff is in doubt.

    Servers close idle connections: gunicorn after 2 s, uvicorn after 5 s."""
    max_answer: Size = 64 * 2**20
    """Maximum size of an answer; a larger one counts as an error."""
    webhooks: bool = True
    """Name webhooks in kickoffs, where the job file requests them. Use false for servers that refuse these fields."""
    max_kickoffs_per_month: int | None = Field(default=None, ge=1)
    """Maximum kickoffs of this crew (by its url) in a calendar month (UTC), over all batches of the ledger."""
    price_per_kickoff: PriceText | None = None
    """Price of one kickoff: 0.50 USD. `check` and the summary show the resulting cost.

    The cost is a range if retries or kickoffs in doubt may cost more. Use `prices` if tokens cost something as well."""
    prices: PriceSettings | None = None
    """Instead of `price_per_kickoff`: prices of a kickoff and of tokens, and their currency.

    See [money and tokens](results.md#money-and-tokens)."""

    @model_validator(mode="after")
    def _one_price_per_kickoff(self) -> Self:
        if self.prices is not None and self.price_per_kickoff is not None:
            raise ValueError("`price_per_kickoff` and `prices` exclude each other; keep one")
        return self

    @property
    def price_list(self) -> PriceList | None:
        """Prices of its executions; None: unknown."""
        prices, single = self.prices, self.price_per_kickoff
        if single is not None:
            return PriceList(currency=single.currency, per_kickoff=single.amount)
        if prices is None:
            return None
        return PriceList(
            currency=prices.currency,
            per_kickoff=prices.per_kickoff,
            per_1k_prompt_tokens=prices.per_1k_prompt_tokens,
            per_1k_completion_tokens=prices.per_1k_completion_tokens,
        )

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the crew is, for messages and the ledger: its URL, `embedded`, or `serve:` and the target."""


class AuthSettings(Settings):
    """How the token is sent."""

    header: str = "Authorization"
    """Name of the header."""
    scheme: str = "Bearer"
    """Word before the token; "" sends the token alone, as in `API-Key: <token>`."""


class RemoteCrew(CrewSettings):
    """A crew that is deployed at a URL."""

    url: str = Field(json_schema_extra={"not": {"const": EMBEDDED}})
    """Base URL of the deployed crew, or `embedded` for the built-in demo crew."""
    headers: Annotated[dict[str, SecretStr], BeforeValidator(_texts), DefaultText("none")] = Field(default_factory=dict)
    """Further headers of every request to this server, such as a tenant's. Values are secrets, like the token.

    batchcrew removes them from messages and logs, and those of eight characters or more from answers. Write ${VAR} for
    those that must not be in the file."""
    auth: AuthSettings = AuthSettings()
    """The header that carries the token. Default: `Authorization: Bearer <token>`."""
    body: Literal["nested", "flat"] = "nested"
    """Body of a kickoff: `nested` has the inputs under `inputs`, `flat` has them at the top level."""
    meta: bool = True
    """Send `meta`. Use false for servers that refuse unknown keys.

    Without it, an execution whose kickoff got no answer cannot be recognized on the server."""
    cookies: bool = False
    """Return the cookies that the server sets, for sticky sessions behind a load balancer."""
    sync: bool = False
    """The server answers a kickoff with the result itself, after up to `run.timeout`; it is never polled.

    A run that stops, and a tick, wait for these answers; press Ctrl-C again to abandon them. A kickoff whose answer is
    lost or too late is in doubt, see `run.delivery`."""

    @classmethod
    def at(cls, url: str, crew: CrewSettings) -> Self:
        """Return a crew at `url` that has the other settings of `crew`."""
        fields = RemoteCrew.model_fields if isinstance(crew, RemoteCrew) else CrewSettings.model_fields
        return cls(url=url, **{name: getattr(crew, name) for name in fields if name != "url"})

    @property
    def location(self) -> str:
        return self.url

    @property
    def reserved_inputs(self) -> frozenset[str]:
        """Names that no input may have: in a flat body, they mean something else to the server."""
        if self.body == "nested":
            return frozenset()
        return _BODY_KEYS if self.meta else _BODY_KEYS - {"meta"}


class DemoCrew(CrewSettings):
    """The built-in demo crew, which answers without a language model."""

    model_config = ConfigDict(json_schema_extra={"required": ["url"]})

    url: Literal["embedded"] = "embedded"
    """`embedded`: the demo crew, started for the run."""

    @property
    def location(self) -> str:
        return EMBEDDED


InputName = Annotated[str, AfterValidator(check_input_name)]


class ServeSettings(Settings):
    """A CrewAI crew on this machine, served for the run."""

    target: str
    """`module:Crew`, `path/file.py:Crew` or the folder of a CrewAI project, relative to the job file."""
    python: Annotated[str | None, DefaultText("the project's `.venv`, else batchcrew's own Python")] = None
    """Python interpreter of the workers, or the folder of its environment, relative to the job file.

    It needs crewai 0.100 or later. Default: the environment of the project (`.venv`, or that of `uv.lock` or
    `poetry.lock`), else batchcrew's own."""
    workers: int = Field(default=DEFAULT_WORKERS, ge=1, le=MAX_WORKERS)
    """Number of worker processes."""
    threads: int = Field(default=DEFAULT_THREADS, ge=1, le=MAX_THREADS)
    """Concurrent executions per worker process."""
    timeout: PositiveDuration = DEFAULT_EXECUTION_SECONDS
    """Maximum time of one execution; after it, the execution is ended as an error."""
    drain: Annotated[NonNegativeDuration | None, DefaultText("the usual duration of this crew")] = None
    """How long a run waits at `max_runtime` for executions in progress, which end with the run; 0 is not at all."""
    isolation: Isolation = "thread"
    """Isolation of executions: `thread` shares the worker's process, its folder and environment; `process`
    gives each execution a process alone, at most `workers` at once.

    See [what each costs](real-crews.md#executions-do-not-reach-each-other)."""
    memory: Annotated[Memory, BeforeValidator(lambda value: "off" if value is False else value)] = "isolated"
    """Memory of crews, flows and agents: `isolated` is empty for each execution, `shared` is one for all of a worker,
    `off` is none."""
    artifacts: Annotated[str | None, DefaultText("artifacts/, next to the ledger")] = None
    """Folder, relative to the job file, for the files that tasks write (`output_file`): DIR/BATCH/JOB/FILE. Default:
    artifacts/, next to the ledger."""
    inputs: Annotated[dict[InputName, Any], DefaultText("none")] = Field(default_factory=dict)
    """Inputs that rows need not name: `{tone: formal}` is the value for rows without it.

    An input without a value, as in `{current_year: }`, is one that the crew supplies itself."""
    state: Annotated[str | None, DefaultText("memory")] = None
    """SQLite file, relative to the job file, that stores executions beyond the run. Default: in memory.

    Set it if executions cost money."""

    @model_validator(mode="after")
    def _shares_nothing(self) -> Self:
        if self.memory == "shared" and self.isolation == "process":
            raise ValueError("`memory: shared` and `isolation: process` exclude each other; keep one")
        return self


def parse_serve(value: object) -> Any:
    """Parse `ServeSettings` from a target or a mapping."""
    return {"target": value} if isinstance(value, str) else value


class ServedCrew(CrewSettings):
    """A CrewAI crew on this machine, which batchcrew serves for the run."""

    serve: Annotated[ServeSettings, BeforeValidator(parse_serve, json_schema_input_type=str | ServeSettings)]
    """Instead of `url`: a CrewAI crew, flow or project on this machine, started for the run."""

    @property
    def location(self) -> str:
        return f"serve:{self.serve.target}"


REMOTE_ONLY = tuple(name for name in RemoteCrew.model_fields if name not in {"url", *CrewSettings.model_fields})
"""Settings that only a crew at a URL has; batchcrew knows these values for its own servers."""


def crew_type(keys: Mapping[str, object]) -> type[RemoteCrew | DemoCrew | ServedCrew]:
    """Return the type of the crew that has these keys in a job file."""
    if keys.get("serve") is not None:
        return ServedCrew
    return DemoCrew if keys.get("url") == EMBEDDED else RemoteCrew


def _tag(value: Any) -> str:
    return (crew_type(value) if isinstance(value, Mapping) else type(value)).__name__


Crew: TypeAlias = Annotated[
    Annotated[RemoteCrew, Tag("RemoteCrew")]
    | Annotated[DemoCrew, Tag("DemoCrew")]
    | Annotated[ServedCrew, Tag("ServedCrew")],
    Discriminator(_tag),
]
