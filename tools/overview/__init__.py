"""Tools that concern all families: tasks, running costs, estimates, prompts and resources."""
