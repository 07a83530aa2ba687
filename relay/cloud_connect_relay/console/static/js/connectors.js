// Connectors: what only its pages need.
