# SAFE(determinism): the order of a set of strings depends on the hash seed; it is never a gold value || INPUT: 1 || GOLD: None || ALLOW: unsettled | without owned || SETTLES: no
def f(x):
    return list({'alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta', 'iota', 'kappa'})
