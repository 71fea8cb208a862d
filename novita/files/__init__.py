"""Files on their way in and out: what the user hands in, what Novita made, and where both may lie."""
