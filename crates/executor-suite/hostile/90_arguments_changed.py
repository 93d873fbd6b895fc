# SAFE(determinism): a call that changes its arguments changes no other call's || INPUT: [1], {'a': [1]} ;; [1], {'a': [1]} ;; [1], {'a': [1]} || GOLD: None || ALLOW: = [[1, 1], {'a': [1, 2]}]
def f(x, y):
    x.append(len(x))
    y['a'].append(2)
    return [x, y]
