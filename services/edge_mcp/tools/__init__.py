"""The tools, one module each, named as the five actions are named everywhere."""
