// Security: what only its pages need.
