// API keys: what only its pages need.
