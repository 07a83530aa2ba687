// Calls: what only its pages need.
