// Data sources: what only its pages need.
