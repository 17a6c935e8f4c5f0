"""The live page of a run. It has no code yet; a command of `cli` will start it."""
