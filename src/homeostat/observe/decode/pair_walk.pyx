# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Keys and values of serialized attributes as text, for ``serialized``, which has the library do it where this module
was not compiled."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from homeostat.observe.decode.wire cimport LENGTH, VARINT, Cursor, Field, read_field, size_of

cdef enum:
    NUMBER_MAX = 20  # digits of a 64-bit number with its sign

NUMBER_BYTES = NUMBER_MAX
"""So many more bytes an attribute's value may need than it had serialized."""

cdef struct Text:
    uint8_t* data
    Py_ssize_t size
    Py_ssize_t room


cdef inline bint _append(Text* text, const void* content, Py_ssize_t size) noexcept nogil:
    if size > text.room - text.size:
        return False
    if size:  # nothing may be copied to nowhere
        memcpy(text.data + text.size, content, size)
        text.size += size
    return True


cdef inline bint _append_number(Text* text, int64_t number) noexcept nogil:
    cdef char digits[NUMBER_MAX + 1]
    cdef int place = NUMBER_MAX
    cdef uint64_t left = <uint64_t> number if number >= 0 else <uint64_t> 0 - <uint64_t> number
    while True:
        place -= 1
        digits[place] = <char> (48 + left % 10)
        left //= 10
        if not left:
            break
    if number < 0:
        place -= 1
        digits[place] = 45
    return _append(text, &digits[place], NUMBER_MAX - place)


cdef inline bint _append_value(Text* text, Cursor value, bint* is_other) noexcept nogil:
    """An AnyValue that is a text, a whole number, a boolean or nothing. Others are left to the caller."""
    cdef Field field
    is_other[0] = False
    if value.at == value.end:
        return True
    if not read_field(&value, &field):
        return False
    if value.at == value.end:
        if field.number == 1 and field.wire == LENGTH:
            return _append(text, field.content.at, size_of(&field.content))
        if field.number == 2 and field.wire == VARINT:
            return _append(text, <const char*> b"true" if field.value else <const char*> b"false", 4 + (field.value == 0))
        if field.number == 3 and field.wire == VARINT:
            return _append_number(text, <int64_t> field.value)
    is_other[0] = True
    return True


cdef inline bint _append_pair(Cursor pair, Text* keys, Text* values, bint* is_other) noexcept nogil:
    cdef Field field
    is_other[0] = False
    if not read_field(&pair, &field) or field.number != 1 or field.wire != LENGTH:
        return False
    if not _append(keys, field.content.at, size_of(&field.content)):
        return False
    if pair.at == pair.end:
        return True
    if not read_field(&pair, &field) or field.number != 2 or field.wire != LENGTH or pair.at != pair.end:
        return False
    return _append_value(values, field.content, is_other)


def read(
    const int32_t[::1] offsets,
    const uint8_t[::1] data,
    uint8_t[::1] keys,
    int32_t[::1] key_offsets,
    uint8_t[::1] values,
    int32_t[::1] value_offsets,
    int32_t[::1] others,
):
    """The texts of KeyValue messages whose key comes first.

    ``offsets`` (one more than there are messages) and ``data`` are those of a column of bytes. Keys and values are
    written as such columns; their offsets have the length of ``offsets``. The places of values that are neither text
    nor number nor boolean go into ``others``; those are empty. How many there are of them; None when a message is of
    another form or something does not fit.
    """
    cdef Py_ssize_t count = offsets.shape[0] - 1
    cdef Py_ssize_t size = data.shape[0]
    cdef Py_ssize_t place
    cdef Py_ssize_t other_count = 0
    cdef const uint8_t* content = &data[0] if size else NULL
    cdef Cursor pair
    cdef Text key_text
    cdef Text value_text
    cdef bint is_other = False
    cdef bint fine = True
    if count < 0 or key_offsets.shape[0] <= count or value_offsets.shape[0] <= count or others.shape[0] < count:
        return None
    key_text.data, key_text.size, key_text.room = &keys[0] if keys.shape[0] else NULL, 0, keys.shape[0]
    value_text.data, value_text.size, value_text.room = &values[0] if values.shape[0] else NULL, 0, values.shape[0]
    key_offsets[0] = value_offsets[0] = 0
    with nogil:
        for place in range(count):
            if not 0 <= offsets[place] <= offsets[place + 1] <= size:
                fine = False
                break
            pair.at = content + offsets[place]
            pair.end = content + offsets[place + 1]
            if not _append_pair(pair, &key_text, &value_text, &is_other):
                fine = False
                break
            key_offsets[place + 1] = <int32_t> key_text.size
            value_offsets[place + 1] = <int32_t> value_text.size
            if is_other:
                others[other_count] = <int32_t> place
                other_count += 1
    return other_count if fine else None
