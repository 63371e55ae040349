"""Receives what the platform sends to people, and shows it."""
