"""Write the report of a batch in different formats."""
