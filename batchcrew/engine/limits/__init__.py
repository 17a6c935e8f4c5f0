"""What holds kickoffs back: slots and pauses, rates, the breaker, budgets, and crews that fail on everything."""
