// Custom connectors: what only its pages need.
