# cython: language_level=3
"""Protobuf's wire format for ``span_walk`` and ``pair_walk``: reading it with every step checked, and attributes.

A ``Cursor`` is moved by ``read_varint``, ``read_header`` and ``take`` (``is_utf8`` moves a copy), each of which looks at
its end first. Whatever is malformed, unusual or too deep is ``UNSURE``: the library's decoder then has the last word.
What is ``FINE`` must be fine for that decoder, too, since it may read the same bytes later: parsers of protobuf differ
in how long a tag or a length may be written, so only the shortest form of either is fine.
"""

from libc.stdint cimport INT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    UNSURE = 0
    FINE = 1

cdef enum:  # wire types
    VARINT = 0
    FIXED64 = 1
    LENGTH = 2
    FIXED32 = 5

cdef enum:
    DEPTH_MAX = 32  # of arrays and maps in an attribute; an SDK's attribute has one level

cdef struct Cursor:
    const uint8_t* at
    const uint8_t* end

cdef struct Field:
    uint32_t number
    uint32_t wire
    uint64_t value  # of a varint or a fixed number
    Cursor content  # of what has a length


cdef inline bint read_varint(Cursor* cursor, uint64_t* value) noexcept nogil:
    cdef uint64_t result = 0
    cdef uint32_t shift = 0
    cdef uint8_t byte
    while cursor.at < cursor.end and shift < 64:
        byte = cursor.at[0]
        cursor.at += 1
        if shift == 63 and byte > 1:
            return UNSURE
        result |= <uint64_t> (byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = result
            return FINE
        shift += 7
    return UNSURE


cdef inline bint read_header(Cursor* cursor, uint64_t* value) noexcept nogil:
    """A tag or a length, in its shortest form and of at most 31 bits."""
    cdef const uint8_t* begin = cursor.at
    if not read_varint(cursor, value) or value[0] > INT32_MAX:
        return UNSURE
    return cursor.at - begin == 1 or cursor.at[-1] != 0


cdef inline bint take(Cursor* cursor, uint64_t size, Cursor* content) noexcept nogil:
    """The next ``size`` bytes as a cursor of their own."""
    if size > <uint64_t> (cursor.end - cursor.at):
        return UNSURE
    content.at = cursor.at
    cursor.at += size
    content.end = cursor.at
    return FINE


cdef inline bint read_field(Cursor* cursor, Field* field) noexcept nogil:
    """The next field, whatever its number."""
    cdef uint64_t tag = 0
    cdef uint64_t size = 0
    cdef Cursor number
    if not read_header(cursor, &tag) or tag >> 3 == 0:
        return UNSURE
    field.number, field.wire = <uint32_t> (tag >> 3), <uint32_t> (tag & 7)
    if field.wire == LENGTH:
        return read_header(cursor, &size) and take(cursor, size, &field.content)
    if field.wire == VARINT:
        return read_varint(cursor, &field.value)
    size = 8 if field.wire == FIXED64 else 4
    if (field.wire != FIXED64 and field.wire != FIXED32) or not take(cursor, size, &number):
        return UNSURE
    field.value = 0
    memcpy(&field.value, number.at, size)  # protobuf and every machine this is built for are little-endian
    return FINE


cdef inline Py_ssize_t size_of(const Cursor* content) noexcept nogil:
    return content.end - content.at


cdef inline bint is_utf8(Cursor text) noexcept nogil:
    """Whether a text is UTF-8 as the Unicode Standard has it (table 3-7): no surrogates, nothing overlong."""
    cdef uint64_t word = 0
    cdef uint8_t lead
    cdef Py_ssize_t more
    while text.end - text.at >= 8:
        memcpy(&word, text.at, 8)
        if word & <uint64_t> 0x8080808080808080:
            break
        text.at += 8
    while text.at < text.end:
        lead = text.at[0]
        text.at += 1
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return UNSURE
        more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        if text.end - text.at < more or not _may_follow(lead, text.at[0]):
            return UNSURE
        for place in range(1, more):
            if text.at[place] & 0xC0 != 0x80:
                return UNSURE
        text.at += more
    return FINE


cdef inline bint _may_follow(uint8_t lead, uint8_t second) noexcept nogil:
    if lead == 0xE0:
        return 0xA0 <= second <= 0xBF
    if lead == 0xED:
        return 0x80 <= second <= 0x9F
    if lead == 0xF0:
        return 0x90 <= second <= 0xBF
    if lead == 0xF4:
        return 0x80 <= second <= 0x8F
    return 0x80 <= second <= 0xBF


cdef inline bint is_text(const Field* field) noexcept nogil:
    return field.wire == LENGTH and is_utf8(field.content)


cdef inline bint is_value(Cursor value, int depth) noexcept nogil:
    """Whether this is an AnyValue, and all in it."""
    cdef Field field
    while value.at < value.end:
        if not read_field(&value, &field):
            return UNSURE
        if field.number == 1:
            if not is_text(&field):
                return UNSURE
        elif field.number == 2 or field.number == 3:  # bool, int
            if field.wire != VARINT:
                return UNSURE
        elif field.number == 4:  # double
            if field.wire != FIXED64:
                return UNSURE
        elif field.number == 5 or field.number == 6:  # ArrayValue, KeyValueList
            if field.wire != LENGTH or depth >= DEPTH_MAX or not is_list(field.content, field.number == 6, depth + 1):
                return UNSURE
        elif field.number == 7 and field.wire != LENGTH:  # bytes
            return UNSURE
    return FINE


cdef inline bint is_list(Cursor items, bint of_pairs, int depth) noexcept nogil:
    """Whether this is an ArrayValue (of AnyValue) or a KeyValueList (of KeyValue), and all in it."""
    cdef Field field
    while items.at < items.end:
        if not read_field(&items, &field):
            return UNSURE
        if field.number != 1:
            continue
        if field.wire != LENGTH:
            return UNSURE
        if not (is_pair(field.content, depth) if of_pairs else is_value(field.content, depth)):
            return UNSURE
    return FINE


cdef inline bint is_pair(Cursor pair, int depth) noexcept nogil:
    """Whether this is a KeyValue, its fields in any order."""
    cdef Field field
    while pair.at < pair.end:
        if not read_field(&pair, &field):
            return UNSURE
        if field.number == 1:
            if not is_text(&field):
                return UNSURE
        elif field.number == 2 and (field.wire != LENGTH or not is_value(field.content, depth)):
            return UNSURE
    return FINE


cdef inline bint is_plain_pair(Cursor pair) noexcept nogil:
    """Whether this is a KeyValue whose key comes first and is shorter than 128 bytes, as ``serialized`` wants it."""
    cdef Field field
    cdef bint is_short = size_of(&pair) >= 2 and pair.at[1] < 0x80
    if not is_short or not read_field(&pair, &field) or field.number != 1 or not is_text(&field):
        return UNSURE
    if pair.at == pair.end:
        return FINE
    if not read_field(&pair, &field) or field.number != 2 or field.wire != LENGTH or pair.at != pair.end:
        return UNSURE
    return is_value(field.content, 0)
