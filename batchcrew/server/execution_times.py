"""Random durations of the demo crew's executions, in several shapes."""

import math
import re
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, Self, TypeAlias, get_args

from batchcrew.base.errors import UsageError

MAX_EXECUTION_SECONDS = 86400.0
MAX_SHARE = 10.0
Shape: TypeAlias = Literal["even", "lognormal", "heavy", "bimodal"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
SHARES: dict[str, float] = {"even": 0.0, "lognormal": 0.6, "heavy": 1.3, "bimodal": 0.0}
"""The deviation where a text names none."""
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SPREAD = re.compile(
    rf"(?:({'|'.join(SHAPES[1:])})\s*:\s*)?(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\s*(?:(?:±|\+-|\+/-)\s*(\d+(?:\.\d+)?)\s*%)?",
    re.ASCII,
)
_SHORT, _LONG = NormalDist(0.5, 0.05), NormalDist(1.75, 0.15)
_SHORT_SHARE = 0.6
"""Values of the two modes of `bimodal`, whose mean is 1."""
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Spread:
    """A random duration with a mean of `seconds`.

    Args:
        share: for `even`, the most that a duration differs from the mean: `2s±50%` is between 1 s and 3 s. For
            `lognormal` and `heavy`, the standard deviation. Each is a share of the mean.
        shape: `even` is evenly distributed; `heavy` is lognormal with a larger deviation; of `bimodal`, three in five
            are short (about half of the mean), the others long (1.75 times the mean).
    """

    seconds: float
    share: float = 0.0
    shape: Shape = "even"

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= MAX_EXECUTION_SECONDS:
            raise UsageError(f"invalid execution time: {self.seconds:g}s (expected 0s to 24h)")
        most = {"even": 1.0, "bimodal": 0.0}.get(self.shape, MAX_SHARE)
        if not 0 <= self.share <= most:
            raise UsageError(f"invalid spread of {self.shape}: ±{self.share:.0%} (expected ±0% to ±{most:.0%})")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2s±50%`, `2s+-50%`, `500ms`, a number of seconds, `lognormal:30s±20%`, `heavy:30s` or `bimodal:30s`.

        Raises:
            UsageError: the text is something else, or out of range.
        """
        match = _SPREAD.fullmatch(text.strip())
        if match is None:
            expected = "e.g. 2s, 500ms, 2s±50%, lognormal:30s±20%, heavy:30s or bimodal:30s"
            raise UsageError(f"invalid execution time: {text!r} (expected {expected})")
        shape: Shape = next((known for known in SHAPES if known == match[1]), "even")
        share = SHARES[shape] if match[4] is None else float(match[4]) / 100
        return cls(float(match[2]) * UNITS[match[3] or "s"], share, shape)

    def at(self, rng: float) -> float:
        """Return the duration in seconds for a `rng` of 0 (the shortest) to 1 (the longest)."""
        return min(self.seconds * self._factor(rng), MAX_EXECUTION_SECONDS)

    def _factor(self, rng: float) -> float:
        if self.shape == "even":
            return 1 + self.share * (2 * rng - 1)
        chance = min(max(rng, _EDGE), 1 - _EDGE)
        if self.shape == "bimodal":
            if chance < _SHORT_SHARE:
                return max(0.0, _SHORT.inv_cdf(chance / _SHORT_SHARE))
            return _LONG.inv_cdf(min(max((chance - _SHORT_SHARE) / (1 - _SHORT_SHARE), _EDGE), 1 - _EDGE))
        deviation = math.sqrt(math.log(1 + self.share**2))
        return math.exp(deviation * NormalDist().inv_cdf(chance) - deviation**2 / 2)
