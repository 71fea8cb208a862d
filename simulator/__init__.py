"""Novita over real HTTP on your own machine, written from its documentation alone."""
