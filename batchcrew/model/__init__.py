"""The nouns: jobs, attempts, executions, outcomes, and what the engine reports while it runs. Frozen, no I/O."""
