"""Every change to the ledger, one module per noun. Each class becomes a part of `Ledger` (`ledger/ledger.py`)."""
