"""How requests reach a host: straight or through a proxy, over which connections, and how long each step may take."""
