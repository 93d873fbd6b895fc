# SAFE: text operations that ask for gigabytes are refused or stopped || INPUT: 0 ;; 1 ;; 2 ;; 3 ;; 4 || GOLD: None || ALLOW: limit | error
def f(x):
    if x == 0:
        return len('{:>9000000000}'.format(1))
    if x == 1:
        return len('%9000000000d' % 1)
    if x == 2:
        return len(('a' * 10 ** 6).replace('a', 'b' * 10 ** 6))
    if x == 3:
        return len(','.join(['x' * 10 ** 6] * 10 ** 5))
    return len('a'.center(10 ** 11))
