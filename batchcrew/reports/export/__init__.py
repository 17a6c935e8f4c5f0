"""Exports: one module for each format, the rows that all formats share, and the file that is replaced atomically."""
