# SAFE: half a frame and then silence is stopped by the limit || INPUT: 1 || GOLD: None || ALLOW: gate | error | limit | crash
import os
def f(x):
    for fd in range(3, 64):
        try:
            os.write(fd, b'\x10\x00\x00\x00V')
        except OSError:
            pass
    while True:
        pass
