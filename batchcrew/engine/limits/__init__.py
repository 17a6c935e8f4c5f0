"""The limits of kickoffs.

`crew_limits.py` combines those of one crew: `slots.py` (executions in progress), `throttle.py` (429, 503),
`rate_limiter.py`, `breaker.py` (failing requests), `silence.py` and `reachability.py` (no answers). `run_limits.py`
combines those of the run: its concurrency and rate, `budget.py` (spending), `failure_streak.py` (a crew that fails on
everything). Each limit owns its state, saves it and restores it; other code calls its methods.
"""
