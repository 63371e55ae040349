"""A real Kubernetes cluster for the tests: `make cluster-up`, `make cluster-down`."""
