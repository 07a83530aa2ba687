// Explore: what only its pages need.
