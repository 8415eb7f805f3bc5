"""`mailwarden doctor`: probes the controls of a running system, one module for each."""
