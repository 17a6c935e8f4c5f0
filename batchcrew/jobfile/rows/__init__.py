"""Rows files: one module for each format, the code that all formats share, and questions about values."""
