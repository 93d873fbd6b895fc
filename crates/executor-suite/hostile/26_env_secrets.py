# SAFE: no environment variables, argv or inherited descriptors visible || INPUT: 1 || GOLD: None || ALLOW: gate | error | without HOME PATH azr [0 [1 USER
def f(x):
    import os, sys
    fds = []
    for i in range(0, 64):
        try:
            os.fstat(i); fds.append(i)
        except OSError:
            pass
    return (sorted(os.environ)[:20], fds, sys.argv)
