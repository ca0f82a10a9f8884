"""cityHash64 of ClickHouse, which is CityHash 1.0.2, for texts as long as an id."""

from __future__ import annotations

K0 = 0xC3A5C85C97CB3127
K2 = 0x9AE16A3B2F90404F
MASK = (1 << 64) - 1
BYTES_MIN, BYTES_MAX = 33, 64


def can_hash(text: str) -> bool:
    return BYTES_MIN <= len(text.encode()) <= BYTES_MAX


def city_hash_64(text: str) -> int:
    """Raises ValueError for a text that is not 33 to 64 bytes long; the text of a UUID has 36."""
    data = text.encode()
    size = len(data)
    if not can_hash(text):
        raise ValueError(f"'{text}' has {size} bytes, and only {BYTES_MIN} to {BYTES_MAX} are supported")
    z = _word(data, 24)
    first = (_word(data, 0) + (size + _word(data, size - 16)) * K0) & MASK
    vf, vs = _weak(first, z, _word(data, 8), _word(data, 16))
    second = (_word(data, 16) + _word(data, size - 32)) & MASK
    wf, ws = _weak(second, _word(data, size - 8), _word(data, size - 24), _word(data, size - 16))
    mixed = _shift_mix((vf + ws) * K2 + (wf + vs) * K0)
    return (_shift_mix(mixed * K0 + vs) * K2) & MASK


def _weak(a: int, z: int, x: int, y: int) -> tuple[int, int]:
    """Two sums over half of the text: `a` and `z` start them, `x` and `y` follow."""
    b = _rotate(a + z, 52)
    c = _rotate(a, 37)
    a += x
    c += _rotate(a, 7)
    a += y
    return (a + z) & MASK, (b + _rotate(a, 31) + c) & MASK


def _word(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 8], "little")


def _rotate(value: int, bits: int) -> int:
    value &= MASK
    return ((value >> bits) | (value << (64 - bits))) & MASK


def _shift_mix(value: int) -> int:
    value &= MASK
    return value ^ (value >> 47)
