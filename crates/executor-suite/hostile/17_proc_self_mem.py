# SAFE: /proc/self/mem, /proc/<ppid>/* not readable or writable || INPUT: 1 || GOLD: None || ALLOW: gate | error | without opened
def f(x):
    import os
    r = []
    for p in ('/proc/self/mem', '/proc/%d/mem' % os.getppid(), '/proc/%d/environ' % os.getppid(), '/dev/mem', '/dev/kvm'):
        try:
            os.close(os.open(p, os.O_RDWR if 'mem' in p else os.O_RDONLY)); r.append('opened ' + p.split('/')[-1])
        except Exception as e:
            r.append(type(e).__name__)
    return r
