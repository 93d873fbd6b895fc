# SAFE: the arguments of other calls are not to be found in a program's process || INPUT: 'needle-one' ;; 'needle-two' || GOLD: None || ALLOW: gate | error | = 0
import gc
def f(x):
    other = 'needle-' + ('one' if x.endswith('two') else 'two')
    n = 0
    for o in gc.get_objects():
        values = o.values() if type(o) is dict else o if type(o) in (list, tuple) else ()
        for v in list(values):
            if type(v) in (str, bytes) and len(v) < 4000 and (other if type(v) is str else other.encode()) in v and v is not other:
                n += 1
    return n
