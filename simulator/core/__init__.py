"""What every area of the simulator needs: the world, the documented facts, trouble, the control routes."""
