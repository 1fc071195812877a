"""Parsing, JSON, dictionaries, regular expressions, objects and syntax trees; prints digests of what came out."""

import ast
import hashlib
import json
import re
from collections import Counter, defaultdict


def digest(label, value):
    print(label, hashlib.sha256(repr(value).encode()).hexdigest()[:16])


def records(count):
    state = 12345
    for i in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        yield {
            "id": i,
            "name": "user-%06x" % (state >> 7),
            "tags": ["t%d" % (state >> shift & 63) for shift in range(4, 4 + i % 9)],
            "place": {"x": state % 997, "y": state % 1009, "label": "L" * (i % 23)},
            "mail": "%x.%d@host%d.example" % (state, i, state % 31),
        }


def lines_of(rows):
    return ["%(id)d;%(name)s;%(mail)s;" % row + ",".join(row["tags"]) for row in rows]


class Node:
    def __init__(self, key, value):
        self.key, self.value = key, value
        self.left = self.right = None


def insert(root, key, value):
    while True:
        if key == root.key:
            root.value = value
            return
        side = "left" if key < root.key else "right"
        below = getattr(root, side)
        if below is None:
            setattr(root, side, Node(key, value))
            return
        root = below


def in_order(root):
    stack, node = [], root
    while stack or node:
        while node:
            stack.append(node)
            node = node.left
        node = stack.pop()
        yield node.key, node.value
        node = node.right


rows = list(records(7000))
text = json.dumps(rows)
again = json.loads(text)
assert again == rows
digest("json", text)

pattern = re.compile(r"(?P<id>\d+);(?P<name>[\w-]+);(?P<user>[^@;]+)@(?P<host>\w+)\.example;(?P<tags>.*)")
groups = defaultdict(list)
for line in lines_of(again):
    found = pattern.fullmatch(line).groupdict()
    groups[found["host"]].append((int(found["id"]), found["name"], found["tags"].split(",")))
digest("groups", sorted(groups.items()))
digest("replaced", re.sub(r"t(\d)(\d*)", r"<\2\1>", text))

words = Counter(word for row in again for word in row["name"].split("-") + row["tags"])
digest("words", sorted(words.items()))

root = Node("m", 0)
for row in again:
    insert(root, row["name"], row["place"])
digest("tree", list(in_order(root)))

source = "\n".join(
    "def f%d(a, b=%d, *rest, **named):\n    return [x * %d for x in rest if x > b] + [a, named.get('k%d')]" % (i, i, i, i)
    for i in range(900)
)
tree = ast.parse(source)
names = Counter(type(node).__name__ for node in ast.walk(tree))
digest("syntax", sorted(names.items()))
space = {}
exec(compile(tree, "generated", "exec"), space)
digest("called", [space["f%d" % i](i, 2, 1, 5, k7=3) for i in range(900)])
