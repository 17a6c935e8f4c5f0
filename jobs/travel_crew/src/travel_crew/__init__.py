"""Two agents plan a trip."""
