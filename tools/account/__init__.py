"""Tools about the account: balance, bills, keys and budgets."""
