# SAFE: builtins that one call replaces are whole in the next call || INPUT: 1 ;; 2 || GOLD: None || ALLOW: gate | error | crash | = 99 ;; gate | error | = [2, '2', 3]
import builtins
def f(x):
    if x == 1:
        for name in ('len', 'str', 'sum', 'isinstance', 'type', 'repr', 'ascii', 'compile', 'exec'):
            setattr(builtins, name, lambda *a, **k: 99)
        return 99
    return [len('ab'), str(2), sum([1, 2])]
