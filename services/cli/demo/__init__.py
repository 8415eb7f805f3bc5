"""`mailwarden demo`: the main job, done by real clients against the whole system, told as a report."""
