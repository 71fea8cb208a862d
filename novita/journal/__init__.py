"""What was paid for and what it costs: the journal, its two databases, jobs, leases and the ledger."""
