"""Render a batch: the summary of a run, tables and JSON for the commands, exports.

Text of files and crews is printed only after a function of `base/text.py` has cleaned it.
"""
