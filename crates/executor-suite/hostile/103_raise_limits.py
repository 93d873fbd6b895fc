# SAFE: limits cannot be raised || INPUT: 1 || GOLD: None || ALLOW: gate | error | limit
import resource
def f(x):
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return 'raised'
