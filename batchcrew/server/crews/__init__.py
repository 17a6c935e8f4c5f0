"""Real crews: their executions, kept in a store, and the webhooks that tell of them."""
