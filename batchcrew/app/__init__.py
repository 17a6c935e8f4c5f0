"""The use cases, which `cli` calls: run, check, adopt, recheck, and the other operations on a batch or a ledger."""
