"""Defaults and limits of served crews, for job files (`serve:`), `batchcrew serve` and the server itself."""

DEFAULT_WORKERS = 2
"""Worker processes of a served crew."""
MAX_WORKERS = 256
DEFAULT_THREADS = 4
"""Concurrent executions per worker process."""
MAX_THREADS = 256
DEFAULT_EXECUTION_SECONDS = 1800.0
"""Maximum time of one execution."""
INTERRUPTED = "interrupted by a restart"
"""The error of an execution that ended with its server. A run that serves the crew itself knows what it means."""
