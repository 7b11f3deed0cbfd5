# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One walk over the bytes of OTLP trace requests, which leaves the parts of their spans in columns.

``span_columns`` makes Arrow columns of them. A request that is malformed, or unusual in any way (see ``wire.pxd``), is
left as if it had not been seen: the library's decoder judges it. Where no compiler was at hand when the package was
built this module is missing, and that decoder does all of it, for more CPU.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport INT32_MAX, int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from homeostat.observe.decode.wire cimport (
    FINE,
    FIXED32,
    FIXED64,
    LENGTH,
    UNSURE,
    VARINT,
    Cursor,
    Field,
    is_pair,
    is_plain_pair,
    is_text,
    read_field,
    size_of,
)

cdef enum:
    ATTRIBUTES_MAX = 1024  # of a span
    ROWS_MAX = 300_000  # resources, scopes and spans of a request
    FIELDS_MAX = 1_000_000  # of all messages above the spans

LIMITS = ATTRIBUTES_MAX, ROWS_MAX, FIELDS_MAX
"""Those of ``span_parts`` and ``counting``, as a test holds them to be."""

cdef uint64_t TIME_MAX = <uint64_t> 0x7FFFFFFFFFFFFFFF
cdef uint64_t COUNT_MAX = <uint64_t> 0xFFFFFFFF

cdef enum:  # columns
    TRACE_ID
    SPAN_ID
    PARENT_ID
    START
    DURATION
    KIND
    STATUS
    FLAGS
    DROPPED_ATTRIBUTES
    DROPPED_EVENTS
    DROPPED_LINKS
    RESOURCE_OF
    SCOPE_OF
    # What varies in length: the bytes of all, and where each ends.
    NAME
    NAME_END
    STATE
    STATE_END
    MESSAGE
    MESSAGE_END
    RESOURCE
    RESOURCE_END
    SCOPE
    SCOPE_END
    # Serialized, some of each span: the bytes of all, where each ends, and at which of them each span ends.
    ATTRIBUTE
    ATTRIBUTE_END
    ATTRIBUTES_END
    EVENT
    EVENT_END
    EVENTS_END
    LINK
    LINK_END
    LINKS_END
    COLUMNS

NAMES = (
    "trace_id", "span_id", "parent_span_id", "start_ns", "duration_ns", "kind", "status_code", "flags",
    "dropped_attributes", "dropped_events", "dropped_links", "resource_of", "scope_of", "name", "name_end",
    "trace_state", "trace_state_end", "status_message", "status_message_end", "resource", "resource_end",
    "scope", "scope_end", "attribute", "attribute_end", "attributes_end", "event", "event_end", "events_end",
    "link", "link_end", "links_end",
)  # fmt: skip
assert len(NAMES) == COLUMNS


cdef struct Span:
    Cursor trace_id
    Cursor span_id
    Cursor parent_id
    Cursor name
    Cursor state
    Cursor message
    uint64_t start
    uint64_t end
    uint64_t kind
    uint64_t status
    uint64_t dropped_attributes
    uint64_t dropped_events
    uint64_t dropped_links
    uint32_t flags
    uint32_t attributes
    uint32_t cut

cdef struct Counts:  # of one request
    int64_t rows
    int64_t fields
    int64_t spans
    int64_t wrong_length
    int64_t zero
    int64_t cut


cdef class Block:
    """A column as bytes, for the buffer protocol. Made by ``Walk``."""

    cdef uint8_t* data
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, 1, flags)

    def __dealloc__(self):
        free(self.data)


cdef class Walk:
    """Takes requests in, one after the other, in one thread; ``columns`` hands over what was found and ends it."""

    cdef uint8_t* data[COLUMNS]
    cdef size_t size[COLUMNS]
    cdef size_t room[COLUMNS]
    cdef bint has_no_memory
    cdef bint is_too_much  # for places of 32 bits
    cdef Counts counts

    def __cinit__(self, size_t expected=0):
        """``expected``: bytes of all requests, most of which are attributes. Room that grows is moved again and again."""
        if expected:
            self.data[ATTRIBUTE] = <uint8_t*> realloc(NULL, expected)
            self.room[ATTRIBUTE] = expected if self.data[ATTRIBUTE] != NULL else 0

    def __dealloc__(self):
        for column in range(COLUMNS):
            free(self.data[column])

    def add(self, bytes request not None):
        """How many spans of the request were taken, how many left out for an id's wrong length and how many for an id
        that is zero, and of how many attributes were cut. None: all of it is left to the library.

        Raises MemoryError.
        """
        cdef Cursor cursor
        cdef size_t before[COLUMNS]
        cdef bint fine
        cursor.at = <const uint8_t*> <const char*> request
        cursor.end = cursor.at + len(request)
        with nogil:
            memcpy(before, self.size, sizeof(before))
            memset(&self.counts, 0, sizeof(Counts))
            self.has_no_memory = self.is_too_much = False
            fine = self._request(cursor) and not self.is_too_much and not self.has_no_memory
            if not fine:
                memcpy(self.size, before, sizeof(before))
        if self.has_no_memory:
            raise MemoryError(f"no memory for the spans of a request of {len(request)} bytes")
        if not fine:
            return None
        return self.counts.spans, self.counts.wrong_length, self.counts.zero, self.counts.cut

    def columns(self):
        """What was found, by name: fixed numbers in the machine's order of bytes, and places as int32."""
        return {name: memoryview(self._block(column)) for column, name in enumerate(NAMES)}

    cdef Block _block(self, int column):
        cdef Block block = Block.__new__(Block)
        cdef void* fitting = realloc(self.data[column], max(self.size[column], <size_t> 1))  # the rest is given back
        block.data = <uint8_t*> fitting if fitting != NULL else self.data[column]
        block.size = self.size[column]
        self.data[column], self.size[column], self.room[column] = NULL, 0, 0
        return block

    # -- writing ----------------------------------------------------------------------------------------------

    cdef inline void _put(self, int column, const void* content, size_t size) noexcept nogil:
        """Behind what the column holds. A failure is looked at when the request ends."""
        cdef size_t wanted = self.size[column] + size
        cdef size_t room
        cdef void* moved
        if wanted > self.room[column]:
            room = max(2 * self.room[column], wanted, <size_t> 4096)
            moved = realloc(self.data[column], room)
            if moved == NULL:
                self.has_no_memory = True
                return
            self.data[column], self.room[column] = <uint8_t*> moved, room
        memcpy(self.data[column] + self.size[column], content, size)
        self.size[column] = wanted

    cdef inline void _put_place(self, int column, size_t place) noexcept nogil:
        cdef int32_t end = <int32_t> place
        if place > INT32_MAX:
            self.is_too_much = True
        self._put(column, &end, 4)

    cdef inline void _put_content(self, int column, const Cursor* content) noexcept nogil:
        """Bytes, and in the next column where they end."""
        if size_of(content):
            self._put(column, content.at, size_of(content))
        self._put_place(column + 1, self.size[column])

    # -- reading ----------------------------------------------------------------------------------------------

    cdef bint _request(self, Cursor request) noexcept nogil:
        cdef Field field
        while request.at < request.end:
            if not self._read_field(&request, &field):
                return UNSURE
            if field.number == 1 and not (field.wire == LENGTH and self._row() and self._held(field.content, False, 0)):
                return UNSURE
        return FINE

    cdef inline bint _read_field(self, Cursor* message, Field* field) noexcept nogil:
        self.counts.fields += 1
        return self.counts.fields <= FIELDS_MAX and read_field(message, field)

    cdef inline bint _row(self) noexcept nogil:
        self.counts.rows += 1
        return self.counts.rows <= ROWS_MAX

    cdef bint _held(self, Cursor message, bint of_scope, int32_t resource) noexcept nogil:
        """ResourceSpans, or ScopeSpans of the resource of this number: who made the spans, and what holds them."""
        cdef Field field
        cdef Cursor maker
        cdef bint has_maker = False
        cdef int column = SCOPE if of_scope else RESOURCE
        cdef int32_t number = <int32_t> (self.size[column + 1] // 4)
        maker.at = maker.end = NULL
        while message.at < message.end:
            if not self._read_field(&message, &field):
                return UNSURE
            if field.number == 1:
                if has_maker or field.wire != LENGTH or not _is_maker(field.content, of_scope):
                    return UNSURE
                has_maker, maker = True, field.content
            elif field.number == 2:
                if field.wire != LENGTH or not self._row():
                    return UNSURE
                if of_scope:
                    if not self._span(field.content, resource, number):
                        return UNSURE
                elif not self._held(field.content, True, number):
                    return UNSURE
        self._put_content(column, &maker)
        return FINE

    cdef bint _span(self, Cursor message, int32_t resource, int32_t scope) noexcept nogil:
        cdef Span span
        cdef Field field
        cdef size_t before[COLUMNS - ATTRIBUTE]
        memcpy(before, &self.size[ATTRIBUTE], sizeof(before))
        memset(&span, 0, sizeof(Span))
        while message.at < message.end:
            if not read_field(&message, &field) or not self._field(&span, &field):
                return UNSURE
        if self._has_ids(&span):
            self._finish(&span, resource, scope)
        else:
            memcpy(&self.size[ATTRIBUTE], before, sizeof(before))
        return FINE

    cdef inline bint _field(self, Span* span, const Field* field) noexcept nogil:
        """One field of a span. What is of no known number is passed over."""
        if field.number == 9:
            return self._attribute(span, field)
        if field.number <= 2 or field.number == 4:
            return field.wire == LENGTH and _keep_id(span, field)
        if field.number == 3 or field.number == 5:
            return is_text(field) and _keep_text(span, field)
        if field.number == 7 or field.number == 8:
            return field.wire == FIXED64 and _keep_number(span, field)
        if field.number == 11 or field.number == 13:
            if field.wire != LENGTH or not _is_event_or_link(field.content, field.number == 11):
                return UNSURE
            self._put_content(EVENT if field.number == 11 else LINK, &field.content)
            return FINE
        if field.number == 15:
            return field.wire == LENGTH and _keep_status(span, field.content)
        if field.number == 16:
            return field.wire == FIXED32 and _keep_number(span, field)
        if field.number <= 14:
            return field.wire == VARINT and _keep_number(span, field)
        return FINE

    cdef inline bint _attribute(self, Span* span, const Field* field) noexcept nogil:
        if field.wire != LENGTH or not is_plain_pair(field.content):
            return UNSURE
        if span.attributes == ATTRIBUTES_MAX:
            span.cut += 1
            return FINE
        span.attributes += 1
        self._put_content(ATTRIBUTE, &field.content)
        return FINE

    cdef inline bint _has_ids(self, const Span* span) noexcept nogil:
        """Whether a trace and a span can have these ids; counted when not. Some tracers write zeros for no parent."""
        cdef Py_ssize_t parent = size_of(&span.parent_id)
        if size_of(&span.trace_id) != 16 or size_of(&span.span_id) != 8 or (parent != 8 and parent != 0):
            self.counts.wrong_length += 1
            return False
        if _is_zero(&span.trace_id) or _is_zero(&span.span_id):
            self.counts.zero += 1
            return False
        return True

    cdef inline void _finish(self, const Span* span, int32_t resource, int32_t scope) noexcept nogil:
        cdef uint64_t no_parent = 0
        cdef uint64_t start = min(span.start, TIME_MAX)
        cdef uint64_t end = min(span.end, TIME_MAX)
        cdef uint64_t duration = end - start if end > start else 0
        cdef int8_t kind = <int8_t> span.kind if span.kind <= 5 else 0
        cdef int8_t status = <int8_t> span.status if span.status <= 2 else 0
        self._put(TRACE_ID, span.trace_id.at, 16)
        self._put(SPAN_ID, span.span_id.at, 8)
        self._put(PARENT_ID, span.parent_id.at if size_of(&span.parent_id) else <const uint8_t*> &no_parent, 8)
        self._put(START, &start, 8)
        self._put(DURATION, &duration, 8)
        self._put(KIND, &kind, 1)
        self._put(STATUS, &status, 1)
        self._put(FLAGS, &span.flags, 4)
        self._put_count(DROPPED_ATTRIBUTES, min((span.dropped_attributes & COUNT_MAX) + span.cut, COUNT_MAX))
        self._put_count(DROPPED_EVENTS, span.dropped_events)
        self._put_count(DROPPED_LINKS, span.dropped_links)
        self._put(RESOURCE_OF, &resource, 4)
        self._put(SCOPE_OF, &scope, 4)
        self._put_content(NAME, &span.name)
        self._put_content(STATE, &span.state)
        self._put_content(MESSAGE, &span.message)
        self._put_place(ATTRIBUTES_END, self.size[ATTRIBUTE_END] // 4)
        self._put_place(EVENTS_END, self.size[EVENT_END] // 4)
        self._put_place(LINKS_END, self.size[LINK_END] // 4)
        self.counts.spans += 1
        self.counts.cut += span.cut > 0

    cdef inline void _put_count(self, int column, uint64_t count) noexcept nogil:
        cdef uint32_t low = <uint32_t> count  # as protobuf reads a uint32
        self._put(column, &low, 4)


cdef inline bint _keep_id(Span* span, const Field* field) noexcept nogil:
    if field.number == 1:
        span.trace_id = field.content
    elif field.number == 2:
        span.span_id = field.content
    else:
        span.parent_id = field.content
    return FINE


cdef inline bint _keep_text(Span* span, const Field* field) noexcept nogil:
    if field.number == 3:
        span.state = field.content
    else:
        span.name = field.content
    return FINE


cdef inline bint _keep_number(Span* span, const Field* field) noexcept nogil:
    if field.number == 6:
        span.kind = <uint32_t> field.value  # an int32; negative ones are no kind either
    elif field.number == 7:
        span.start = field.value
    elif field.number == 8:
        span.end = field.value
    elif field.number == 10:
        span.dropped_attributes = field.value
    elif field.number == 12:
        span.dropped_events = field.value
    elif field.number == 14:
        span.dropped_links = field.value
    else:
        span.flags = <uint32_t> field.value
    return FINE


cdef inline bint _keep_status(Span* span, Cursor status) noexcept nogil:
    cdef Field field
    while status.at < status.end:
        if not read_field(&status, &field):
            return UNSURE
        if field.number == 2:
            if not is_text(&field):
                return UNSURE
            span.message = field.content
        elif field.number == 3:
            if field.wire != VARINT:
                return UNSURE
            span.status = <uint32_t> field.value
    return FINE


cdef inline bint _is_zero(const Cursor* identity) noexcept nogil:
    cdef const uint8_t* at = identity.at
    while at < identity.end:
        if at[0]:
            return False
        at += 1
    return True


cdef bint _is_maker(Cursor message, bint of_scope) noexcept nogil:
    """Resource: attributes. InstrumentationScope: name, version, attributes."""
    cdef Field field
    cdef uint32_t attributes = 3 if of_scope else 1
    while message.at < message.end:
        if not read_field(&message, &field):
            return UNSURE
        if field.number < attributes:
            if not is_text(&field):
                return UNSURE
        elif field.number == attributes and (field.wire != LENGTH or not is_pair(field.content, 0)):
            return UNSURE
    return FINE


cdef bint _is_event_or_link(Cursor message, bint is_event) noexcept nogil:
    """Event: time, name, attributes, count. Link: trace id, span id, trace state, attributes, count, flags."""
    cdef Field field
    cdef uint32_t attributes = 3 if is_event else 4
    while message.at < message.end:
        if not read_field(&message, &field):
            return UNSURE
        if field.number > (4 if is_event else 6):
            continue
        if field.number == attributes:
            if field.wire != LENGTH or not is_pair(field.content, 0):
                return UNSURE
        elif field.number == attributes + 1:
            if field.wire != VARINT:
                return UNSURE
        elif field.number == 6:
            if field.wire != FIXED32:
                return UNSURE
        elif is_event and field.number == 1:
            if field.wire != FIXED64:
                return UNSURE
        elif field.number == attributes - 1:  # a name, a trace state
            if not is_text(&field):
                return UNSURE
        elif field.wire != LENGTH:  # a link's ids
            return UNSURE
    return FINE
