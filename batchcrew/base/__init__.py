"""Helpers that every package may use: errors, the clock, units, text for terminals, files. It imports no other
package."""
