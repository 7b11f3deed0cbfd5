# cython: language_level=3, boundscheck=False, wraparound=False
"""Where a few keys stand among many attributes, for ``attributes``, which does the same with numpy where this module
was not compiled."""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memcmp


def find(
    const int32_t[::1] offsets,
    const uint8_t[::1] data,
    bint serialized,
    bytes keys not None,
    const int32_t[::1] key_ends,
    int32_t[::1] places,
    int32_t[::1] which,
):
    """How many attributes have one of the keys; their places and which key it is go into the last two arrays.

    ``offsets`` and ``data`` are those of a column of texts, or of KeyValue messages whose keys come first and are
    shorter than 128 bytes (``serialized``). The arrays for the answer are as long as there are attributes, or found is
    no more than fits. Raises ValueError for offsets that do not lie in the data.
    """
    cdef Py_ssize_t count = offsets.shape[0] - 1
    cdef Py_ssize_t found = 0
    cdef Py_ssize_t key_count = key_ends.shape[0]
    cdef Py_ssize_t room = min(places.shape[0], which.shape[0])
    cdef Py_ssize_t size = data.shape[0]
    cdef const uint8_t* wanted = <const uint8_t*> <const char*> keys
    cdef const uint8_t* content = &data[0] if size else NULL
    cdef Py_ssize_t place, key, start, length, begin, key_length
    cdef bint inside = True
    for key in range(key_count):
        begin = key_ends[key - 1] if key else 0
        if not begin <= key_ends[key] <= len(keys):
            raise ValueError("the ends of keys do not ascend, or lie behind the last key")
    with nogil:
        for place in range(count):
            start = offsets[place]
            length = <Py_ssize_t> offsets[place + 1] - start
            if start < 0 or length < 0 or start + length > size:
                inside = False
                break
            if serialized:
                if length < 2 or content[start + 1] > length - 2:
                    inside = False
                    break
                length = content[start + 1]
                start += 2
            begin = 0
            for key in range(key_count):
                key_length = key_ends[key] - begin
                if key_length == length and (not length or memcmp(content + start, wanted + begin, length) == 0):
                    if found < room:
                        places[found], which[found] = <int32_t> place, <int32_t> key
                        found += 1
                    break
                begin = key_ends[key]
    if not inside:
        raise ValueError("an attribute lies outside the data")
    return found
