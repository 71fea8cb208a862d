"""Tools that rent GPU instances and care for what surrounds them."""
