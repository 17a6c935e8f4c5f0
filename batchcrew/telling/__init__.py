"""Tell people and programs how a run goes: notifications, the command of `on_end:`, and the file of metrics."""
