"""Live tests on a real Kubernetes cluster; their modules run in the order of their names."""
