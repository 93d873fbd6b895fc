# SAFE: no bytes reach any disk, tmpfs, shm, memfd or pipe buffer outside the memory limit || INPUT: 1 || GOLD: None || ALLOW: gate | error | = (0, 'PermissionError') | = (0, 'AttributeError')
def f(x):
    import os
    n = 0
    try:
        fd = os.memfd_create('x')
        while n < 4000:
            os.write(fd, b'x' * (1 << 20)); n += 1
    except BaseException as e:
        return (n, type(e).__name__)
    return n
