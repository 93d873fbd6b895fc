# SAFE: special names of the module that a program overwrites are its own only || INPUT: 1 ;; 2 || GOLD: None || ALLOW: gate | error | = 1 ;; gate | error | = 2
__builtins__ = {}
__name__ = '__main__'
__loader__ = __spec__ = None
def f(x):
    return x
