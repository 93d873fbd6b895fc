# SAFE(reward): hidden state makes calls 1 and 2 agree and later calls differ; each run must start from a fresh namespace, so all runs agree || INPUT: 3 || GOLD: 3 || ALLOW: = 3
n = [0]
def f(x):
    n[0] += 1
    return x if n[0] <= 2 else x + n[0]
