"""Exports: the rows, the CSV cells, and the file that is replaced atomically."""
