"""Jobs, attempts, executions, outcomes, and the events of a run: frozen dataclasses without I/O."""
