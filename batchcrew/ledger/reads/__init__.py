"""Every query of the ledger, one module per noun. Each class becomes a part of `Reading` (`ledger/reading.py`)."""
