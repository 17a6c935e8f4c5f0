"""What is said of a batch: the summary of a run, tables and JSON for the commands, exports.

`clean.py` comes first: nothing that a file or a crew said is printed without it.
"""
