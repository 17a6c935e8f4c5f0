"""All settings with their defaults, each declared once; and the prices of kickoffs."""
