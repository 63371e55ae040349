"""A small exchange that speaks the metrics contract and breaks on command, and a notification inbox."""
