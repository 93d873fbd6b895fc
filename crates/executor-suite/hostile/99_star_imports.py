# SAFE: wildcard imports bring no module into reach that is not allowed || INPUT: 1 || GOLD: None || ALLOW: error | = ['no sys', 'no os']
from enum import *
from queue import *
from statistics import *
from dataclasses import *
def f(x):
    r = []
    try:
        r.append(sys.version)
    except NameError:
        r.append('no sys')
    try:
        r.append(os.getpid())
    except NameError:
        r.append('no os')
    return r
