# SAFE: import hooks and search paths of one call are gone in the next || INPUT: 1 ;; 2 || GOLD: None || ALLOW: gate | error | = 1 ;; gate | error | = 2.0
import sys
def f(x):
    if x == 1:
        class Hook:
            def find_spec(self, *rest):
                raise SystemExit(0)
        sys.meta_path.insert(0, Hook())
        sys.path.insert(0, '/tmp')
        sys.modules['math'] = sys
        return 1
    import math
    return math.sqrt(4)
