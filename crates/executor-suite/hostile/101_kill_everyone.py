# SAFE: signals to groups and to everybody reach no process || INPUT: 1 || GOLD: None || ALLOW: gate | error | crash | = ['PermissionError', 'PermissionError', 'PermissionError'] | = ['AttributeError', 'AttributeError', 'AttributeError']
import os
def f(x):
    r = []
    for target in (-1, 0, -os.getppid()):
        try:
            os.kill(target, 9)
            r.append('sent')
        except Exception as e:
            r.append(type(e).__name__)
    return r
