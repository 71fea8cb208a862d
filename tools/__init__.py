"""What a host sees: toolsets, tools and resources."""
