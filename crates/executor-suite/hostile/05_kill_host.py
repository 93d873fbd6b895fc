# SAFE: host, supervisor and siblings survive; kill() refused or sees no other process || INPUT: 1 || GOLD: None || ALLOW: gate | error | without killed
def f(x):
    import os, signal
    r = []
    for pid in (os.getppid(),):
        try:
            os.kill(pid, signal.SIGKILL); r.append('killed parent')
        except BaseException as e:
            r.append(type(e).__name__)
    return r
