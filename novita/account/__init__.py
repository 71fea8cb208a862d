"""The account: balance, bills, keys and budgets."""
