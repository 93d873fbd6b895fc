# SAFE: frames that a generator shows must hold nothing of value: no gold, no other call || INPUT: 'needle-one' ;; 'needle-two' || GOLD: None || ALLOW: gate | error | = []
def f(x):
    other = 'needle-' + ('one' if x.endswith('two') else 'two')
    found, h = [], []
    def g():
        frame = h[0].gi_frame
        while frame is not None:
            for scope in (frame.f_locals, frame.f_globals):
                for value in list(scope.values()):
                    if value is not other and other in str(value):
                        found.append(frame.f_code.co_name)
            frame = frame.f_back
        yield 1
    h.append(g())
    for _ in h[0]:
        pass
    return [name for name in found if name not in ('f', 'g')]
