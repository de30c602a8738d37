"""The store: detectors, versions, scores, gate reports, bundles."""
