"""The crew API: routes, what a kickoff holds, dialects, and the description."""
