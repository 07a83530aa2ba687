// People: what only its pages need.
