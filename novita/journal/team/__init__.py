"""What the server processes of a team share besides the rows of jobs: limits, the audit log, the overview."""
