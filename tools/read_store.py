#!/usr/bin/env python3
"""Lists what a store holds: sections, entries and values. Reads only, takes no lock, changes nothing.

    tools/read_store.py ROOT NAME              a store of pairs (partitions NAME-index and NAME-values),
                                               a glob or a journal (partition NAME)
    tools/read_store.py ROOT NAME --json       the same, one JSON object a line
    tools/read_store.py ROOT NAME --values DIRECTORY    each value into a file <section>-<position>

Written from docs/format.md alone, with nothing but Python's standard library (3.9 or later), as a second opinion on the
library. Compressed values need zstd: the module `compression.zstd` of Python 3.14, or the program `zstd`. Without
either, their place and length are told instead of their bytes.

Exit status: 0, 1 when something is damaged (it is told on standard error), 2 when there is no such store.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import zlib

HEADER_BYTES = 4096
PAGED, VALUES, MANIFEST = 1, 2, 3
ZSTD, SEAL, MORE = 1, 2, 4
SLOT_BYTES = 4096
REWIND_SECTION, REWIND, DESTROY = 1, 2, 3

faults = []


def fault(message):
    """Something is not as it should be."""
    faults.append(message)
    print(f"damage: {message}", file=sys.stderr)


class NoStore(Exception):
    """There is nothing to read."""


def number(data, at, length):
    return int.from_bytes(data[at : at + length], "big")


class Blob:
    """A file: its header, and the bytes behind it."""

    def __init__(self, path, name, salt):
        self.path, self.name, self.salt = path, name, salt
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
            self.data = file.read()
        self.sound = len(header) == HEADER_BYTES and zlib.crc32(header[:32]) == number(header, 32, 4)
        self.magic, self.version, self.kind = header[:8], number(header, 8, 2), number(header, 10, 2)
        self.unit, self.item, self.store = number(header, 12, 4), number(header, 16, 4), header[20:28]
        if self.sound and (self.magic != b"OVRSIZED" or self.version != 1 or header[28:32] != salt):
            raise NoStore(f"{path}: not format version 1, or not under its own name")
        # Where checksums start: they know what they belong to.
        self.start = zlib.crc32(self.store + header[10:12] + name + salt)

    def crc(self, *parts):
        state = self.start
        for part in parts:
            state = zlib.crc32(part, state)
        return state


def blobs(root, partition, verifies):
    """The blobs of a partition, by name. Of two files for one name the one that holds nothing is a remnant."""
    found = {}
    try:
        files = sorted(os.listdir(os.path.join(root, partition)))
    except FileNotFoundError:
        return found
    for file in files:
        form = re.fullmatch(r"((?:[0-9a-f]{2}){1,123})\.([0-9a-f]{8})", file)
        path = os.path.join(root, partition, file)
        if not form or os.path.islink(path) or not os.path.isfile(path):
            continue
        name, salt = bytes.fromhex(form[1]), bytes.fromhex(form[2])
        blob = Blob(path, name, salt)
        other = found.get(name)
        if other is not None:
            if verifies(other) and verifies(blob):
                fault(f"two files with content for one name: {other.path} and {path}")
            if not verifies(blob):
                continue
        found[name] = blob
    return found


class Slot:
    """The manifest as one of its slots says."""

    def __init__(self, data):
        self.store, self.generation, self.pruned_to = data[:8], number(data, 8, 8), number(data, 16, 8)
        self.condition, self.intent, self.length = number(data, 24, 2), number(data, 26, 2), number(data, 28, 4)
        self.section, self.items, self.values = number(data, 32, 8), number(data, 40, 8), number(data, 48, 8)
        self.user = data[56 : 56 + self.length]


def slots(blob):
    """Those that verify."""
    found = []
    for place in (0, 1):
        data = blob.data[place * SLOT_BYTES : (place + 1) * SLOT_BYTES]
        if len(data) == SLOT_BYTES and blob.crc(place.to_bytes(8, "big"), data[:4092]) == number(data, 4092, 4):
            found.append(Slot(data))
    return found


def manifest(root, partition):
    meta = blobs(root, partition, lambda blob: bool(slots(blob))).get(b"meta")
    if meta is None:
        raise NoStore(f"{os.path.join(root, partition)}: no manifest")
    sound = slots(meta)
    if not sound:
        raise NoStore(f"{meta.path}: no slot verifies")
    return max(sound, key=lambda slot: slot.generation)


def is_newer(generation, other):
    """Generations of pages are serial numbers of 16 bits (RFC 1982)."""
    return 0 < (generation - other) % 65536 < 32768


def page(blob, at):
    """The data of a page that counts; None when the page does not verify. Behind the end of the file are zeros."""
    size = blob.unit
    data = blob.data[at * size : (at + 1) * size].ljust(size, b"\0")
    best = None
    for slot in (size - 24, size - 12):
        length, generation = number(data, slot, 2), number(data, slot + 2, 2)
        if not 0 < length <= size - 24:
            continue
        place = at.to_bytes(8, "big")
        if blob.crc(place, data[:length], data[slot : slot + 8]) != number(data, slot + 8, 4):
            continue
        if best is None or is_newer(generation, best[0]):
            best = (generation, data[:length])
    return best[1] if best else None


def items(blob):
    """The whole items of a paged blob."""
    stream = bytearray()
    for at in range(-(-len(blob.data) // blob.unit)):
        data = page(blob, at)
        if data is None:
            break
        stream += data
        if len(data) < blob.unit - 24:
            break
    return [bytes(stream[at : at + blob.item]) for at in range(0, len(stream) - blob.item + 1, blob.item)]


class Frame:
    """The frame at an offset: `valid` is false when its header does not verify."""

    def __init__(self, blob, offset):
        data, self.offset = blob.data, offset
        self.flags, self.tag_size = number(data, offset + 4, 2), number(data, offset + 6, 2)
        self.stored, self.raw = number(data, offset + 8, 4), number(data, offset + 12, 4)
        self.position, self.floor = number(data, offset + 16, 8), number(data, offset + 24, 8)
        self.seal, self.zstd, self.more = (bool(self.flags & flag) for flag in (SEAL, ZSTD, MORE))
        self.payload_at = offset + 40 + self.tag_size
        self.end = self.payload_at + self.stored
        head = data[offset : self.payload_at - 4]
        self.valid = (
            data[offset : offset + 4] == b"OVRF"
            and len(data) >= self.payload_at
            and blob.crc(offset.to_bytes(8, "big"), head) == number(data, self.payload_at - 4, 4)
            and self.flags & ~(ZSTD | SEAL | MORE) == 0
            and self.tag_size == (0 if self.seal else blob.unit)
            and self.floor <= offset
            and (self.raw > self.stored if self.zstd else self.raw == self.stored)
        )
        self.tag = head[36:]
        self.payload = data[self.payload_at : self.end]


def frames(blob, limit):
    """The frames of values of a section, at most `limit`; whether a seal ends them, and where they end."""
    found, batch, at, sealed = [], [], 0, False
    while len(found) < limit and at + 40 <= len(blob.data):
        frame = Frame(blob, at)
        if not frame.valid or frame.position != len(found) + len(batch):
            break
        if frame.seal:
            # A seal ends a batch.
            found, batch, sealed, at = found + batch, [], True, frame.end
            continue
        if len(frame.payload) < frame.stored or zlib.crc32(frame.payload) != number(blob.data, at + 32, 4):
            break
        sealed, at = False, frame.end
        batch.append(frame)
        if not frame.more or len(found) + len(batch) == limit:
            found, batch = found + batch, []
    return found[:limit], sealed and not batch, at


def decompress(payload):
    """None when there is nothing to do it with."""
    try:
        from compression import zstd  # Python 3.14

        return zstd.decompress(payload)
    except ImportError:
        pass
    program = shutil.which("zstd")
    if program is None:
        return None
    return subprocess.run([program, "-dcq"], input=payload, stdout=subprocess.PIPE, check=True).stdout


def value_of(frame, blob):
    """The value of a frame; None when it is compressed and cannot be read here."""
    if not frame.zstd:
        return frame.payload
    value = decompress(frame.payload)
    if value is not None and len(value) != frame.raw:
        fault(f"{blob.path}: the value at byte {frame.offset} has {len(value)} bytes, not {frame.raw}")
    return value


class Section:
    """One section of any store: `entries` are pairs of a record (or None) and a frame (or None)."""

    def __init__(self, name, values, index, slot):
        self.number = number(name, 0, 8)
        self.values, self.index = values, index
        self.indexed = items(index) if index is not None else []
        cut = slot.intent in (REWIND_SECTION, REWIND) and self.number == slot.section
        limit = slot.items if cut else 1 << 64
        if values is None:
            self.sealed, self.end = False, 0
            self.entries = [(record, None) for record in self.indexed[:limit]]
            return
        found, self.sealed, self.end = frames(values, limit)
        self.entries = [(frame.tag, frame) for frame in found]
        rest = values.data[self.end :]
        if not cut and rest.strip(b"\0") and slot.condition == 1:
            fault(f"{values.path}: no frame at byte {self.end}, in a store that was closed in order")
        for position, record in enumerate(self.indexed[:limit]):
            if position >= len(found):
                fault(f"{index.path}: entry {position} has no frame")
                break
            if record != found[position].tag:
                fault(f"{index.path}: entry {position} is not the record of its frame")


def sections(root, name, slot, pair):
    """The sections that count, ascending."""
    anything = lambda blob: blob.sound and bool(items(blob) if blob.kind == PAGED else frames(blob, 1)[0])
    values = blobs(root, f"{name}-values" if pair else name, anything)
    indexes = blobs(root, f"{name}-index", anything) if pair else {}
    for blob in list(values.values()) + list(indexes.values()):
        if len(blob.name) == 8 and not blob.sound:
            fault(f"{blob.path}: its header does not verify")
        elif len(blob.name) == 8 and blob.store != slot.store:
            fault(f"{blob.path}: of another store")
    for key in sorted(set(values) | set(indexes)):
        if len(key) != 8 or number(key, 0, 8) < slot.pruned_to or slot.intent == DESTROY:
            continue
        if slot.intent == REWIND and number(key, 0, 8) > slot.section:
            continue
        blob, index = values.get(key), indexes.get(key)
        if any(part is not None and (not part.sound or part.store != slot.store) for part in (blob, index)):
            continue
        if blob is None:
            fault(f"{index.path}: an index without values")
            continue
        yield Section(key, None, blob, slot) if blob.kind == PAGED else Section(key, blob, index, slot)


def show(position, record, frame, value):
    """One entry in words."""
    words = [f"  {position}:"]
    if record:
        words.append(f"record {record.hex()}")
    if frame is not None:
        place = f"{frame.stored} bytes at byte {frame.payload_at}"
        packed = f", {frame.raw} bytes uncompressed" if frame.zstd else ""
        words.append(f"value of {place}{packed}")
        if value is None:
            words.append("(compressed, and there is no zstd to read it with)")
        else:
            words.append(f"{value[:32]!r}{'...' if len(value) > 32 else ''}")
    print(" ".join(words))


def main():
    arguments = argparse.ArgumentParser(description="Lists what a store holds; changes nothing.")
    arguments.add_argument("root", help="the directory of the storage")
    arguments.add_argument("name", help="the store's name, or the partition of a glob or journal")
    arguments.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments.add_argument("--values", metavar="DIRECTORY", help="put each value into a file there")
    given = arguments.parse_args()
    pair = os.path.isdir(os.path.join(given.root, f"{given.name}-values"))
    slot = manifest(given.root, f"{given.name}-values" if pair else given.name)
    condition = {1: "closed in order", 2: "not closed"}.get(slot.condition, "?")
    if not given.json:
        print(f"store {given.name}, id {slot.store.hex()}, {condition}, pruned to {slot.pruned_to}, intent {slot.intent}")
        if slot.user:
            print(f"  the user's own: {slot.user!r}")
    for section in sections(given.root, given.name, slot, pair):
        if not given.json:
            words = f"section {section.number}: {len(section.entries)} entries"
            if section.values is not None:
                words += f" in {section.end} bytes of frames{', sealed' if section.sealed else ''}"
            if section.index is not None:
                words += f"; {len(section.indexed)} records in pages of {section.index.unit} bytes"
            print(words)
        for position, (record, frame) in enumerate(section.entries):
            value = value_of(frame, section.values) if frame is not None else None
            if given.values is not None and value is not None:
                with open(os.path.join(given.values, f"{section.number}-{position}"), "wb") as file:
                    file.write(value)
            if not given.json:
                show(position, record, frame, value)
                continue
            entry = {"section": section.number, "position": position, "record": record.hex()}
            if frame is not None:
                entry.update(offset=frame.offset, size=frame.end - frame.offset, raw=frame.raw, zstd=frame.zstd)
                entry["value"] = None if value is None else value.hex()
            print(json.dumps(entry))
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NoStore as error:
        print(f"read_store.py: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os._exit(1)
