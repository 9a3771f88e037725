"""Numbers from tensors: gate statistics and gradient norms. Pure functions, no logging."""
