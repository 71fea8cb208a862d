"""Tools for the account: balance, bills, keys and budgets."""
