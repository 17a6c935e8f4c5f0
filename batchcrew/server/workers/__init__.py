"""The processes in which real crews run, as the server sees them."""
