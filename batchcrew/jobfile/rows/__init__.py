"""Rows files: one module for each format, what all have in common, and what looks wrong in them."""
