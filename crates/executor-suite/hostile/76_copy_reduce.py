# SAFE: copy.copy runs what __reduce_ex__ names; it must not be able to name anything harmful || INPUT: 1 || GOLD: None || ALLOW: gate | error | = -1 | = 32512
import copy
class E:
    def __reduce_ex__(self, version):
        return (copy.copyreg.dispatch_table.get, (1,)) if version == 0 else (eval, ("__import__('os').system('echo x > /tmp/azr_escape_76')",))
def f(x):
    return copy.copy(E())
