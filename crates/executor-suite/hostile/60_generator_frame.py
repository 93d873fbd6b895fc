# SAFE: frames that a generator shows must hold nothing of value: no gold, no other call || INPUT: 'needle-one' ;; 'needle-two' || GOLD: None || ALLOW: gate | error | = []
def f(x):
    def g():
        frame = h[0].gi_frame
        while frame is not None:
            for scope in (frame.f_locals, frame.f_globals):
                for value in list(scope.values()):
                    text = str(value)
                    if 'needle' in text and ('one' if 'two' in x else 'two') in text.replace(source, ''):
                        found.append(frame.f_code.co_name)
            frame = frame.f_back
        yield 1
    source = "('one' if 'two' in x else 'two')"
    found, h = [], []
    h.append(g())
    for _ in h[0]:
        pass
    return [name for name in found if name not in ('f', 'g')]
