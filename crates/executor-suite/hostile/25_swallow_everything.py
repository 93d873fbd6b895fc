# SAFE: except BaseException around everything cannot catch the limit || INPUT: 1 || GOLD: None || ALLOW: limit
def f(x):
    n = 0
    while True:
        try:
            a = []
            while True:
                a.append([0] * 1000000)
        except BaseException:
            n += 1
