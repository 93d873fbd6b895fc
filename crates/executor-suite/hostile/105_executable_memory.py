# SAFE: memory that can be executed, or a terabyte of it, cannot be mapped || INPUT: 0 ;; 1 || GOLD: None || ALLOW: gate | error | limit | = 'refused'
import mmap
def f(x):
    try:
        if x == 0:
            mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        else:
            mmap.mmap(-1, 1 << 40)
        return 'mapped'
    except (OSError, MemoryError):
        return 'refused'
