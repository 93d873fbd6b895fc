# SAFE: the result crosses the boundary as data; nothing of it is unpickled or evaluated in the host || INPUT: 1 || GOLD: None || ALLOW: gate | nonvalue
class E:
    def __reduce__(self):
        import os
        return (os.system, ('echo x > /tmp/azr_escape_16',))
    def __eq__(self, o):
        return E()
    def __repr__(self):
        return "__import__('os').system('echo x > /tmp/azr_escape_16')"
def f(x):
    return E()
