"""Report a run to people and programs: notifications, the command of `on_end:`, and the file of metrics."""
