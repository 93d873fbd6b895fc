# SAFE: coroutines and asynchronous generators are no values || INPUT: 0 ;; 1 || GOLD: None || ALLOW: nonvalue | error
async def work(x):
    return x
async def stream(x):
    yield x
def f(x):
    return work(x) if x == 0 else stream(x)
