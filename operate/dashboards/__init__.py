"""The dashboards as what they ask and show: for the tests, the benchmark and the static page."""
