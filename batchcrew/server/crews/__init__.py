"""Real crews: their executions, the store of these, and their webhooks."""
