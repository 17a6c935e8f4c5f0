"""How the end of an execution is found out."""
