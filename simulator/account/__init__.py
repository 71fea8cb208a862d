"""The simulator's account: balance, bills, team and keys."""
