"""The dialects that the server speaks. To add one, write a module like `legacy.py` and add it to DIALECTS."""

from batchcrew.server.dialects.dialect_format import DialectFormat
from batchcrew.server.dialects.guide import Guide
from batchcrew.server.dialects.legacy import Legacy
from batchcrew.server.dialects.live import Live

DIALECTS: dict[str, DialectFormat] = {
    "guide": Guide(),
    "live": Live(),
    "legacy": Legacy(),
}
"""By the value of `--dialect`, the default first."""
DEFAULT_DIALECT = next(iter(DIALECTS))
