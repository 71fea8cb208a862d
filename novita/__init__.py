"""The typed client of Novita AI, and the waiting helper."""
