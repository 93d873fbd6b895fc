# SAFE: results of many elements or bytes are cut off by the bounds, wherever the mass is || INPUT: 0 ;; 1 ;; 2 ;; 3 ;; 4 || GOLD: None || ALLOW: limit | error
def f(x):
    n = 10 ** 6
    return [[0] * n, 'x' * n, {i: i for i in range(n // 4)}, b'\x00' * n, [['y' * 20000] * 100]][x]
