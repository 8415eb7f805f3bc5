"""Plumbing that every service would otherwise repeat. Knows no service's nouns."""
