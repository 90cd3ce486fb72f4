"""Damage to files that knows their structure: lengths, checksums and tags are put right, so that it gets past them.

Each mutator takes the bytes of a sound file and a `random.Random`, and gives other bytes. The same state of the
generator gives the same bytes.
"""

import io
import json
import pickletools
import re
import struct
import zipfile
import zlib
from random import Random

_WORDS = (0, 1, 2, 7, 8, 255, 256, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFF)
_LONG = (0, 1, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_NUMBERS = (
    "0",
    "-1",
    "1",
    "2",
    "1e999",
    "-1e308",
    "nan",
    "inf",
    "1" * 30,
    "9" * 5000,
    "2147483648",
    "0x10",
    "1.5",
    "x",
)
_JSON = (
    "null", "true", "[]", "{}", '""', '"\\ud800"', '"a\\u0000b"', '"../../x"', "NaN", "-Infinity", "1e999", "-0", "1.5",
    "9" * 5000, "1" * 18, "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, '"' + "x" * 3000 + '"', "[[1]]",
)  # fmt: skip


def any_bytes(data: bytes, rng: Random) -> bytes:
    """A few changes that know nothing of the file."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(content)) if content else 0
        if rng.random() < 0.5 and len(content) > 512:
            place = rng.randrange(512)  # headers are at the beginning
        kind = rng.randrange(9)
        if kind == 0 and content:
            content[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and content:
            content[place] = rng.randrange(256)
        elif kind == 2:
            content[place : place + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(_WORDS))
        elif kind == 3:
            content[place : place + 8] = struct.pack(rng.choice("<>") + "Q", rng.choice(_LONG))
        elif kind == 4:
            del content[place : place + rng.choice((1, 4, 8, 100))]
        elif kind == 5:
            content[place:place] = rng.randbytes(rng.choice((1, 4, 8)))
        elif kind == 6:
            del content[place:]
        elif kind == 7:
            n = rng.choice((8, 64, 500))
            content[place:place] = content[place : place + n] * rng.choice((1, 2, 50))
        else:
            content[place : place + 16] = bytes(16)
    return bytes(content)


def words(data: bytes, rng: Random) -> bytes:
    """Aligned words of 4 bytes, of which tags, lengths and dimensions consist."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(content) < 8:
            break
        last = min(len(content), rng.choice((64, 256, len(content)))) // 4 - 1
        place = 4 * rng.randrange(max(last, 1))
        (value,) = struct.unpack_from("<I", content, place)
        value = rng.choice((value + 1, value - 1, value * 2, value ^ 0x80000000, value << 16, *_WORDS))
        struct.pack_into("<I", content, place, value & 0xFFFFFFFF)
    return bytes(content)


def mat(data: bytes, rng: Random) -> bytes:
    """MATLAB files: elements unpacked, changed, and packed again."""
    if rng.random() < 0.2 or data[126:128] != b"IM":
        return any_bytes(data, rng)
    parts, place = [], 128
    while place + 8 <= len(data):
        kind, n = struct.unpack_from("<II", data, place)
        body = data[place + 8 : place + 8 + n]
        parts.append(zlib.decompress(body) if kind == 15 else data[place : place + 8] + body)
        place += 8 + n
    for _ in range(rng.choice((1, 1, 2))):
        k = rng.randrange(len(parts))
        action = rng.randrange(8)
        if action < 5:
            parts[k] = words(parts[k], rng)
        elif action == 5:
            parts[k] = any_bytes(parts[k], rng)
        elif action == 6:  # elements without end in an array
            body = parts[k][8:] + struct.pack("<II", rng.choice((0, 1, 14)), 0) * rng.choice((10, 1000, 100_000))
            parts[k] = struct.pack("<II", 14, len(body)) + body
        else:
            parts.insert(k, parts[rng.randrange(len(parts))])
    packed = rng.random() < 0.5
    made = [zlib.compress(part, 1) for part in parts] if packed else parts
    return data[:128] + b"".join(struct.pack("<II", 15, len(p)) + p if packed else p for p in made)


def png(data: bytes, rng: Random) -> bytes:
    """PNG: chunks changed, added, repeated, with their checksums right."""
    if rng.random() < 0.1:
        return any_bytes(data, rng)
    chunks, place = [], 8
    while place + 12 <= len(data):
        (n,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + n]))
        place += 12 + n
    for _ in range(rng.choice((1, 1, 2, 3))):
        k = rng.randrange(len(chunks))
        kind, body = chunks[k]
        action = rng.randrange(9)
        if action < 3:
            sizes = (0, 1, 3, 255, 4096, 20_000, 1 << 20, (1 << 31) - 1)
            fields = rng.choice(sizes), rng.choice(sizes), rng.choice((1, 2, 4, 8, 16)), rng.choice((0, 2, 3, 4, 6))
            header = list(struct.unpack(">IIBBBBB", chunks[0][1])) if len(chunks[0][1]) == 13 else [1, 1, 8, 2, 0, 0, 0]
            for field in rng.sample(range(4), rng.choice((1, 2))):
                header[field] = fields[field]
            chunks[0] = b"IHDR", struct.pack(">IIBBBBB", *header)
        elif action == 3 and kind == b"IDAT":
            chunks[k] = kind, _repacked(body, rng)
        elif action == 4:
            chunks[k] = kind, any_bytes(body, rng)
        elif action == 5:
            del chunks[k]
            chunks = chunks or [(b"IHDR", b"")]
        elif action == 6:
            chunks.insert(k, chunks[rng.randrange(len(chunks))])
        else:
            bomb = zlib.compress(bytes(rng.choice((10, 10_000_000))), 9)
            name = rng.choice(
                (b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"tEXt")
            )
            added = {b"iCCP": b"icc\0\0" + bomb, b"zTXt": b"a\0\0" + bomb, b"iTXt": b"a\0\1\0\0\0" + bomb}
            body = added.get(name, rng.randbytes(rng.choice((0, 1, 3, 8, 256, 768))))
            chunks[k:k] = [(name, body)] * rng.choice((1, 1, 100))
    made = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return data[:8] + b"".join(made)


def _repacked(body: bytes, rng: Random) -> bytes:
    try:
        content = zlib.decompress(body)
    except zlib.error:
        return any_bytes(body, rng)
    return zlib.compress(any_bytes(content, rng) * rng.choice((1, 1, 3)), 1)


def jpeg(data: bytes, rng: Random) -> bytes:
    """JPEG: segments changed, added and repeated, their lengths right."""
    if rng.random() < 0.25:
        return any_bytes(data, rng)
    segments, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        (n,) = struct.unpack_from(">H", data, place + 2)
        segments.append((data[place + 1], data[place + 4 : place + 2 + n]))
        place += 2 + n
        if segments[-1][0] == 0xDA:
            break
    pixels = data[place:]
    for _ in range(rng.choice((1, 1, 2, 3))):
        k = rng.randrange(len(segments))
        marker, body = segments[k]
        action = rng.randrange(8)
        if action < 3:
            for number, (marker, body) in enumerate(segments):
                if marker in range(0xC0, 0xC3) and len(body) >= 6:
                    height, width = (rng.choice((0, 1, 8, 1000, 8000, 65535)) for _ in range(2))
                    marker = rng.choice((marker, 0xC0, 0xC1, 0xC2, 0xC9, 0xCA))
                    segments[number] = marker, body[:1] + struct.pack(">HH", height, width) + body[5:]
        elif action == 3:
            segments[k] = marker, any_bytes(body, rng)[:65000]
        elif action == 4 and len(segments) > 1:
            del segments[k]
        elif action == 5:
            segments.insert(k, segments[rng.randrange(len(segments))])
        elif action == 6:
            exif = b"Exif\0\0" + any_bytes(b"II*\0\x08\0\0\0\x01\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0", rng)
            segments.insert(0, (0xE1, exif))
        else:
            pixels = any_bytes(pixels, rng) * rng.choice((1, 1, 2))
    made = b"".join(b"\xff" + bytes([m]) + struct.pack(">H", len(b) + 2) + b for m, b in segments)
    return data[:2] + made + pixels


def picture(data: bytes, rng: Random) -> bytes:
    """PNG and JPEG by their structure, other pictures as bytes."""
    return (
        png(data, rng) if data[:4] == b"\x89PNG" else jpeg(data, rng) if data[:2] == b"\xff\xd8" else words(data, rng)
    )


def npy(data: bytes, rng: Random) -> bytes:
    """NumPy arrays: the header's text changed, its length right."""
    if rng.random() < 0.3 or data[6:7] != b"\1":
        return any_bytes(data, rng)
    (n,) = struct.unpack_from("<H", data, 8)
    header, values = data[10 : 10 + n].decode("latin-1"), data[10 + n :]
    shapes = (
        "()",
        "(8,)",
        "(-1, 8)",
        "(10**9,)",
        "(1000000000000, 8)",
        "(True, 64)",
        "(8.0, 8)",
        "(0, 9223372036854775807)",
    )
    types = ("|O", "<f4", ">f8", "<U100000", "|V8", "<c16", "<M8[s]", "|b1", "|u1", "S64", "f16", "(2,)f4", "")
    action = rng.randrange(6)
    if action == 0:
        header = re.sub(r"\([^)]*\)", lambda _: rng.choice(shapes), header, count=1)
    elif action == 1:
        header = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': '{rng.choice(types)}'", header)
    elif action == 2:
        header = header.replace("False", rng.choice(("True", "None", "1", "[]")))
    elif action == 3:
        header = rng.choice(("(" * 3000, "[" * 200 + "]" * 200, "-" * 3000, "1", "{}", "9**9**9", header * 3))
    elif action == 4:
        header = any_bytes(header.encode("latin-1"), rng).decode("latin-1")
    else:
        values = any_bytes(values, rng)
    text = header.encode("latin-1")[:65535]
    return data[:8] + struct.pack("<H", len(text)) + text + values


def as_json(data: bytes, rng: Random) -> bytes:
    """JSON: values and names exchanged for others, fields doubled and left out."""
    if rng.random() < 0.2:
        return any_bytes(data, rng)
    text = data.decode()
    for _ in range(rng.choice((1, 1, 2))):
        tokens = list(re.finditer(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[\[\]{},:]', text))
        if not tokens:
            break
        token = rng.choice(tokens)
        new = rng.choice((*_JSON, token[0] * 2, "", json.dumps(rng.choice(tokens)[0])))
        if rng.random() < 0.15:
            new = f'{token[0]}, "{rng.choice(("flip", "format", "version", "a"))}": {rng.choice(_JSON)}, {token[0]}'
        text = text[: token.start()] + new + text[token.end() :]
    return text.encode()


def text(data: bytes, rng: Random) -> bytes:
    """Text: words exchanged, lines repeated, joined, made long."""
    if rng.random() < 0.3:
        return any_bytes(data, rng)
    lines = data.decode("latin-1").split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        k = rng.randrange(len(lines))
        pieces = lines[k].split(" ")
        action = rng.randrange(8)
        if action < 3:
            pieces[rng.randrange(len(pieces))] = rng.choice(_NUMBERS)
            lines[k] = " ".join(pieces)
        elif action == 3:
            lines[k:k] = [lines[k]] * rng.choice((1, 10, 1000))
        elif action == 4:
            lines[k] += rng.choice((" \\", "\r", "#" * 5000, " 1" * 5000, "\0", "\x85", " " * 5000, "/1" * 2000))
        elif action == 5:
            del lines[k]
            lines = lines or [""]
        elif action == 6:
            lines[k] = lines[rng.randrange(len(lines))]
        else:
            lines[k] = rng.choice(
                ("# x", "", "f 1 2 3 4 5", "f -1 -2 -3", "v 1 2", "OFF", "element face 99999999999", "\ufeff")
            )
    made = "\n".join(lines)
    return made.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "utf-8-sig")), "replace")


def pickled(data: bytes, rng: Random) -> bytes:
    """Pickles: instructions exchanged, repeated, and hostile ones added between others."""
    if rng.random() < 0.3:
        return any_bytes(data, rng)
    try:
        places = [place for _, _, place in pickletools.genops(data)]
    except Exception:
        return any_bytes(data, rng)
    ends = [*places[1:], len(data)]
    parts = [data[a:b] for a, b in zip(places, ends, strict=True)]
    hostile = (
        b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\n_reconstruct\n",
        b"R", b"b",
        b"Vx\nR", b"(", b"t", b"\x85", b"\x81", b"Px\n", b"\x82\x01", b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR", b"2", b"0",
        b"cbuiltins\ngetattr\n", b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\xff", b"h\x00", b"\x8e" + b"\xff" * 8,
        b"}", b"]",
        b"X\xff\xff\xff\xff", b"I" + b"9" * 5000 + b"\n", b"\x8b\xff\xff\xff\x7f", b"]q\x00h\x00a",
        b")" + b"\x85" * 5000,
        b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R", b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R",
        b"\x8f", b"s", b"u",
        b"c_codecs\nencode\nVx\nVzip\n\x86R", b"\x97", b"\x98", b"\x93", b"ccopyreg\n_reconstructor\n",
        b"\x95" + b"\xff" * 8,
    )  # fmt: skip
    for _ in range(rng.choice((1, 1, 2, 4))):
        k = rng.randrange(len(parts))
        action = rng.randrange(6)
        if action < 2:
            parts.insert(k, rng.choice(hostile))
        elif action == 2:
            parts[k] = rng.choice(hostile)
        elif action == 3:
            parts[k] = any_bytes(parts[k], rng)
        elif action == 4:
            parts.insert(k, parts[rng.randrange(len(parts))])
        elif len(parts) > 1:
            del parts[k]
    return b"".join(parts)


def npz(data: bytes, rng: Random) -> bytes:
    """ZIP archives of arrays: the arrays or the names changed, the archive sound; or its own headers changed."""
    if rng.random() < 0.4:
        return any_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    k = rng.randrange(len(members))
    name, content = members[k]
    if rng.random() < 0.7:
        members[k] = name, npy(content, rng) if rng.random() < 0.8 else content + bytes(10_000_000)
    elif rng.random() < 0.5:
        members[k] = rng.choice(("../a.npy", "a" * 3000, "weight_mask", "a\\b.npy", "coverage.npz")), content
    else:
        members += [members[k]] * rng.choice((1, 300))
    stream = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def hdf5(data: bytes, rng: Random) -> bytes:
    """HDF5: bytes that are not zero, where headers, trees and heaps are, and aligned words."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(content))
        for _ in range(20):
            if content[place]:
                break
            place = rng.randrange(min(len(content), rng.choice((2048, 16384, len(content)))))
        if rng.random() < 0.7:
            content[place] = rng.choice((0, 1, 0xFF, content[place] ^ 1 << rng.randrange(8), rng.randrange(256)))
        else:
            place &= ~7
            content[place : place + 8] = struct.pack("<Q", rng.choice(_LONG))
    return bytes(content) if rng.random() < 0.95 else bytes(content[: rng.randrange(len(content))])
