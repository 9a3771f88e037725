"""How far apart two computations of the same number may be, absolute and relative, and why. No test has its own."""

# The same operations in the same order: not one bit.
EXACT = 0.0

# float64, other order of the same operations: at most 50 steps of about 20 roundings of 1e-16, each amplified less than tenfold.
FLOAT64 = 1e-12

# One element of a pointwise function in float64: vector lanes and the scalar tail round exp and tanh differently, by an ulp or two.
LANES = 1e-15

# gradcheck in float64: central differences with a step of 1e-6 have a truncation error of 1e-12 and a rounding error of 1e-10.
GRADCHECK = 1e-7

# float32 against float64 over ten steps: about 200 roundings of 6e-8.
FLOAT32 = 1e-5

# float32 against float64 over 63 steps, gradients of everything inside: the recurrence amplifies early roundings. The eager loop
# itself is up to 1.3e-5 away (peephole), the compiled one 1.5e-5.
FLOAT32_LONG = 5e-5

# float16 against float64 over a few steps: 11 bits are 5e-4 a rounding, and those of the output are carried on.
FLOAT16 = 1e-2

# bfloat16 against float64 over ten steps: 8 bits are 4e-3 a rounding, and those of the state are carried on.
BFLOAT16 = 5e-2

# A sum over float32 activations against NumPy in float64: roundings of 6e-8 that do not all have one sign.
SUM32 = 1e-6

# Validation scores after 50 optimiser steps in float32 on two backends. Seen: 1.5e-5 (jsb, of 9), 7e-9 (adding, of 0.2). Training
# is chaotic and makes more of every rounding with every step, so that this holds for the first steps only.
TRAINED = {"nll": 1e-3, "mse": 1e-5}
