"""What every call to Novita needs: the client, errors, the clock, money, periods, waiting, and reading of answers."""
