"""The use cases: run, check, adopt, recheck, and what else can be done with a batch or a ledger. `cli` calls them."""
