"""The demo crew: a travel planner that answers without a language model."""
