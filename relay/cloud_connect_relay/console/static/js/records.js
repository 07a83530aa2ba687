// Records: what only its pages need.
