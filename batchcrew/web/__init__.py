"""The live page of a run. It has no code yet."""
