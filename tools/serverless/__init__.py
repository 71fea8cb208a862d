"""Tools that deploy serverless endpoints and call them."""
