"""The composition: momentum, learning-rate rule, regularisers and solver, each chosen apart."""
