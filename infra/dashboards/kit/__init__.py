"""What the dashboards share: pages, panels, the colours of the alerts' thresholds, links, variables, units."""
