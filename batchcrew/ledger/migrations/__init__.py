"""The migrations of the ledger, one script per version of the schema. A script that has been released never changes.

Their comments are stored in ledgers, so not even a comment changes: a new version is a module next to these.
"""

from batchcrew.ledger.migrations.version_8 import VERSION_8
from batchcrew.ledger.migrations.versions_1_to_7 import (
    VERSION_1,
    VERSION_2,
    VERSION_3,
    VERSION_4,
    VERSION_5,
    VERSION_6,
    VERSION_7,
)

MIGRATIONS: tuple[str, ...] = (VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7, VERSION_8)
"""Script n brings a ledger from version n to n + 1."""
