"""Alembic's entry; the work is the same for every service."""

from services.common.migrations import run_env

run_env()
