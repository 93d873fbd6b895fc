# SAFE: powers of millions of digits are stopped; a modular one is fine || INPUT: 0 ;; 1 || GOLD: None || ALLOW: limit | error ;; error | = 813
def f(x):
    if x == 0:
        n = 7 ** 10 ** 7
        return (n * n) % 1000
    return pow(7, 10 ** 7 + 3, 1000) + 470
