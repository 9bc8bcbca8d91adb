"""DER as it is written by hand: enough to build certificates and PFX files,
also the wrong ones that no library agrees to write."""

import base64
import textwrap

SEQUENCE, SET, OCTETS, BITS = 0x30, 0x31, 0x04, 0x03
NULL = b"\x05\x00"
TRUE = b"\x01\x01\xff"


def tlv(tag, *parts):
    """One element with a definite length, the shortest that fits."""
    value = b"".join(parts)
    size = len(value)
    if size < 128:
        return bytes([tag, size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


def indefinite(tag, *parts):
    """One BER element of indefinite length, closed by two zero octets."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\x00\x00"


def seq(*parts):
    return tlv(SEQUENCE, *parts)


def set_of(*parts):
    return tlv(SET, *sorted(parts))


def octets(value):
    return tlv(OCTETS, value)


def bits(value, unused=0):
    return tlv(BITS, bytes([unused]), value)


def integer(number):
    """A two's complement INTEGER, also a negative one."""
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return tlv(0x02, number.to_bytes(size, "big", signed=True))


def oid(dotted):
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    out = bytearray([first * 40 + second])
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        out += bytes(reversed(groups))
    return tlv(0x06, bytes(out))


def utc_time(day):
    """UTCTime of a day written 2026-12-01 (midnight) or 2026-12-01T08:00:00."""
    date, _, clock = day.partition("T")
    digits = date.replace("-", "")[2:] + (clock.replace(":", "") or "000000")
    return tlv(0x17, digits.encode() + b"Z")


def read(data, at=0):
    """The element at an offset: its tag, its value, and where the next begins."""
    tag, size, start = data[at], data[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    return tag, data[start : start + size], start + size


def children(value):
    """The elements inside a value, each as (tag, value, the whole element)."""
    at, found = 0, []
    while at < len(value):
        tag, inner, end = read(value, at)
        found.append((tag, inner, value[at:end]))
        at = end
    return found


def pem(label, data, width=64):
    body = "\n".join(textwrap.wrap(base64.b64encode(data).decode(), width))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()
