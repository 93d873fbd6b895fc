# SAFE: one shift that asks for gigabytes is refused || INPUT: 1 || GOLD: None || ALLOW: limit | error
def f(x):
    return (x << (1 << 36)).bit_length()
