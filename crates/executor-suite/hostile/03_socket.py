# SAFE: no socket of any family can be made or connected || INPUT: 1 || GOLD: None || ALLOW: gate | error | without made reached
def f(x):
    import socket
    r = []
    for fam in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16, 17):
        try:
            s = socket.socket(fam, socket.SOCK_STREAM if fam != 16 else socket.SOCK_RAW)
            r.append('made %d' % fam)
            try:
                s.connect(('127.0.0.1', 9)) if fam == socket.AF_INET else None
            except ConnectionRefusedError:
                r.append('reached loopback')
            s.close()
        except Exception as e:
            r.append(type(e).__name__)
    return r
