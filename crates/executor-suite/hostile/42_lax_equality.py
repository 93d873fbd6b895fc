# SAFE(reward): decide on purpose whether True==1, 1==1.0, -0.0==0.0 count; nan must not make a task unsolvable, nor 0.1+0.2 || INPUT: 3 || GOLD: (True, 1.0, float("nan"), -0.0) || ALLOW: = (1, 1, nan, 0.0)
def f(x):
    return (1, 1, float('nan'), 0.0)
