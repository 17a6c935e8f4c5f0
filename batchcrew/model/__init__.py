"""Jobs, attempts, executions, outcomes, the events of a run, and the exit codes: frozen dataclasses without I/O."""
