# SAFE: a small text that unpacks to gigabytes meets the memory limit || INPUT: 1 || GOLD: None || ALLOW: limit | error | crash
import zlib
def f(x):
    c = zlib.compressobj(1)
    packed = b''.join([c.compress(bytes(1 << 20)) for _ in range(4096)] + [c.flush()])
    return len(zlib.decompress(packed))
