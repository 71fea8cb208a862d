"""GPU instances and what surrounds them: products, templates, volumes, networks."""
