"""The demo crew: a travel planner whose texts are made by plain code."""
