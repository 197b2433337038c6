"""objects.py ROUNDS: makes and drops dictionaries, lists, strings and instances, through json and back."""

import json
import sys


class Node:
    """A binary tree."""

    def __init__(self, depth, value):
        self.value = value
        self.left = Node(depth - 1, 2 * value) if depth else None
        self.right = Node(depth - 1, 2 * value + 1) if depth else None

    def total(self):
        return self.value + (self.left.total() + self.right.total() if self.left else 0)


def orders(count):
    return [{"id": i, "name": f"customer {i * 7919 % 1000}", "items": [{"sku": str(i * k), "price": i / k} for k in range(1, 6)]}
            for i in range(count)]


def main(rounds):
    result = 0
    for i in range(rounds):
        known = json.loads(json.dumps(orders(150)))
        groups = {}
        for order in known:
            groups.setdefault(order["name"], []).extend(item["sku"] for item in order["items"])
        result += sum(len("".join(sorted(group))) for group in groups.values()) + Node(9, i).total()
    print(result)


if __name__ == "__main__":
    main(int(sys.argv[1]))
