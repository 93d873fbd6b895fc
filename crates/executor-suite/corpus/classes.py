#: bank || «ints 3..7 of -20..40»
class «A:Account|Wallet|Ledger»:
    def __init__(self, balance=«0..50»):
        self.balance = balance
        self.history = []

    def apply(self, amount):
        if self.balance + amount < «0|-10»:
            self.history.append('refused')
            return False
        self.balance += amount «*|+» «1..3»
        self.history.append(amount)
        return True

def f(amounts):
    account = «A»()
    «o:done|results» = [account.apply(a) for a in amounts]
    return (account.balance, «o».count(True), account.history)
#: stack_machine || «ints 3..7 of 1..9»
class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)
        return self

    def reduce(self, limit):
        while len(self.items) > 1 and self.items[-1] < limit:
            top = self.items.pop()
            self.items[-1] «+=|-=|*=» top
        return self

def f(values):
    stack = Stack()
    for v in values:
        stack.push(v).reduce(«k:3..9»)
    return stack.items
#: linked_list || «ints 3..7»
class Node:
    def __init__(self, value, next=None):
        self.value = value
        self.next = next

def f(values):
    head = None
    for v in «values|sorted(values)|values[::-1]»:
        head = Node(v «+|*» «2..5», head)
    «o:out|seen» = []
    while head is not None:
        if head.value % «2..4» != 0:
            «o».append(head.value)
        head = head.next
    return «o»
#: ~tree_insert || «ints 4..8»
class Tree:
    def __init__(self, key):
        self.key = key
        self.left = None
        self.right = None

    def insert(self, key):
        side = 'left' if key < self.key else 'right'
        child = getattr(self, side)
        if child is None:
            setattr(self, side, Tree(key))
        else:
            child.insert(key)

    def walk(self, level=0):
        before = self.left.walk(level + 1) if self.left else []
        after = self.right.walk(level + 1) if self.right else []
        return before + [«self.key|(self.key, level)|self.key * level»] + after

def f(keys):
    root = Tree(keys[0])
    for key in keys[1:]:
        root.insert(key «+|-» «0..3»)
    return root.walk()
#: counter_object || '«word»«word»', «2..5»
class StateTracker:
    def __init__(self, size):
        self.state = [«0..3»] * size
        self.step = 0

    def update(self, symbol):
        self.step += 1
        place = (ord(symbol) + self.step) % len(self.state)
        self.state[place] = (self.state[place] «+|*|^» «1..7») % «9..50»

def f(symbols, size):
    tracker = StateTracker(size)
    for symbol in symbols:
        tracker.update(symbol)
    return «tracker.state|(tracker.step, tracker.state)|sum(tracker.state)»
#: ~inherited || «ints 2..6 of 1..12»
class Shape:
    def __init__(self, size):
        self.size = size

    def area(self):
        return self.size

class Square(Shape):
    def area(self):
        return self.size ** 2 «+|-» «0..4»

class Cube(Square):
    def area(self):
        return «2..6» * super().area()

def f(sizes):
    kinds = [Shape, Square, Cube]
    return [kinds[i % «2..3»](s).area() for (i, s) in enumerate(sizes)]
#: ~vectors || «pairs 2..5»
class Vector:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y «+|-» other.y)

    def __eq__(self, other):
        return (self.x, self.y) == (other.x, other.y)

def f(pairs):
    total = Vector(«0..5», «0..5»)
    for (x, y) in pairs:
        total = total + Vector(x, y * «1..4»)
    return [total.x, total.y, total == Vector(«0..9», «0..9»)]
