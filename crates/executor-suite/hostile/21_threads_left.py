# SAFE: nothing keeps running after the result; no CPU is used afterwards || INPUT: 1 || GOLD: 5 || ALLOW: gate | error | crash
def f(x):
    import threading
    def spin():
        while True:
            pass
    for i in range(4):
        threading.Thread(target=spin, daemon=False).start()
    return 5
