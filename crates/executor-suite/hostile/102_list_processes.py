# SAFE: other processes, their environment and their files cannot be listed or read || INPUT: 1 || GOLD: None || ALLOW: gate | error | = []
import os
def f(x):
    r = []
    for path in ['/proc', '/root', '/home', '/tmp', '/etc/shadow', '/etc/passwd', '/proc/self/environ', '/proc/1/environ', '/sys', '/dev']:
        try:
            r.append(os.listdir(path) if path.count('/') == 1 else os.open(path, os.O_RDONLY))
        except OSError:
            pass
    return r
