# SAFE: bytes on every descriptor reach neither the host's output nor another program's answer || INPUT: 1 || GOLD: None || ALLOW: gate | error | crash | limit | = 1
import os
def f(x):
    for n in range(2000):
        for fd in range(1, 64):
            try:
                os.write(fd, b'flood' * 1000)
            except OSError:
                pass
    return 1
