"""Find out what an execution does.

`watcher.py` defines a watcher: it returns one observation after another. `Watchers` (`choice.py`) chooses it:
`polling.py` for a run, `single_look.py` for a tick. `schedule.py` decides when to poll,
`forecast.py` shows that to a reader of the ledger, `deadline.py` when an execution
has timed out or is lost, `settling.py` how long an empty answer may still get an output.
"""
