"""Drills: for each alert how it is provoked (drills.yml, book.py), and `make drill`, which provokes it and watches."""
