"""GPU instances, and the products, templates, volumes and networks that belong to them."""
