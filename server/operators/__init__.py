"""What whoever runs a server for many may see."""
