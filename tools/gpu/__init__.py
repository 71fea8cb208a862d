"""Tools that rent GPU instances and manage their volumes, networks, templates and images."""
