"""Writes hash_ring.json: the nodes that the hash ring of Python's tooz chooses.

    pip install tooz==9.1.0
    python make_hash_ring_vectors.py

A byte string is a JSON string with one character per byte (Latin-1). A case has a list of steps that build a ring, the
number of positions of that ring, and queries. The answers of a query contain one word per key, in the order of "keys". A
word contains one base-36 digit per chosen node: the index of the node in the "names" of the case, in ascending order.
The names of one "new" step are never repetitions of each other ("ab", "abab"), because Python adds those in random order.
"""

import json
import pathlib
import random
import uuid

from tooz.hashring import HashRing

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
RANDOM = random.Random(0)
HOSTS = [b"host-%d" % number for number in range(10)]
BINARY = [b"\x00", b"\xff\xfe", bytes(range(256)), b"n\xc5\x93ud", "узел".encode(), b"x" * 55, b"y" * 64, b"z" * 65]


def keys():
    yield b""
    yield from (b"object-%d" % number for number in range(900))
    yield from (str(uuid.UUID(int=RANDOM.getrandbits(128))).encode() for _ in range(300))
    yield from (RANDOM.randbytes(RANDOM.randint(1, 24)) for _ in range(300))
    letters = "äéøßłžжшщאבعغ日本語한국어😀𝄞e\u0301"
    yield from ("".join(RANDOM.choices(letters, k=RANDOM.randint(1, 8))).encode() for _ in range(200))
    yield from (b"long" * number for number in (13, 14, 15, 16, 17, 500))
    # These hash to exactly a position of the ring.
    yield from (name * repeats for name in (b"host-0", b"host-7", b"1") for repeats in (2, 3, 9, 17, 33))


def case(title, steps, queries, keys):
    ring, names = None, []
    for step in steps:
        match step:
            case ["new", nodes, partitions]:
                ring = HashRing(nodes, partitions)
                names += nodes
            case ["add", node, weight]:
                ring.add_node(node, weight)
                names.append(node)
            case ["remove", node]:
                ring.remove_node(node)
    names = list(dict.fromkeys(names))

    def answers(replicas, ignored):
        for key in keys:
            nodes = ring.get_nodes(key, ignore_nodes=ignored, replicas=replicas)
            yield "".join(sorted(DIGITS[names.index(node)] for node in nodes))

    return {
        "title": title,
        "steps": [{verb: operands if operands[1:] else operands[0]} for verb, *operands in steps],
        "positions": len(ring),
        "names": names,
        "queries": [
            {"replicas": replicas, "ignored": ignored, "answers": " ".join(answers(replicas, ignored))}
            for replicas, ignored in queries
        ],
    }


def plain(*replicas):
    return [(number, []) for number in replicas]


def cases():
    yield "three nodes", [["new", HOSTS[:3], 32]], plain(1, 2, 3, 4)
    yield "ten nodes", [["new", HOSTS, 32]], plain(1, 2, 3, 4)
    yield "one partition", [["new", HOSTS[:5], 1]], plain(1, 2, 3)
    yield "many partitions", [["new", HOSTS[:5], 257]], plain(1)
    yield "ignored nodes", [["new", HOSTS, 32]], [
        (1, HOSTS[2:3]), (2, HOSTS[:4]), (1, HOSTS[:9]), (3, [HOSTS[5], b"no such node"]), (1, HOSTS)
    ]
    yield "weights", [
        ["new", HOSTS[:1], 16], ["add", HOSTS[1], 2], ["add", HOSTS[2], 7], ["add", HOSTS[3], 1]
    ], [(1, []), (2, []), (1, [HOSTS[2]])]
    yield "a larger weight, given later", [["new", HOSTS[:4], 32], ["add", HOSTS[1], 5]], plain(1)
    yield "removals and additions", [
        ["new", HOSTS[:6], 32], ["remove", HOSTS[0]], ["remove", HOSTS[4]], ["add", HOSTS[8], 1], ["add", HOSTS[9], 3],
        ["remove", HOSTS[2]], ["add", HOSTS[0], 2], ["remove", HOSTS[9]]
    ], [(1, []), (2, []), (4, []), (2, [HOSTS[0]])]
    yield "weight zero", [["new", HOSTS[:3], 32], ["add", HOSTS[3], 0]], plain(1)
    yield "binary and long names", [["new", BINARY, 32]], plain(1, 3)
    yield "an empty name", [["new", [b"", b"a", b"b"], 32]], plain(1, 2)
    # The last node added owns what several of them claim.
    yield "names that repeat each other", [
        ["new", [], 32], ["add", b"11", 1], ["add", b"1", 1], ["add", b"111", 2], ["add", b"2", 1], ["add", b"22", 1]
    ], [(1, []), (2, []), (1, [b"111"])]
    yield "an empty ring", [["new", [], 32]], plain(1)


class Encoder(json.JSONEncoder):
    def default(self, value):
        return value.decode("latin-1")


def main():
    shared = list(keys())
    vectors = {"keys": shared, "cases": [case(*arguments, shared) for arguments in cases()]}
    text = json.dumps(vectors, cls=Encoder, indent=1, ensure_ascii=True)
    pathlib.Path(__file__).with_name("hash_ring.json").write_text(text + "\n")


main()
