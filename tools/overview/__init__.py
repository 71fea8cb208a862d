"""What spans all families: tasks, running costs, estimates, prompts and resources."""
