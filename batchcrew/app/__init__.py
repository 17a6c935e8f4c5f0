"""The use cases: run, check, adopt, recheck and the upkeep of a ledger. The command line calls them."""
