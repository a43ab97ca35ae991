// Package pgoutput decodes the messages of PostgreSQL's logical decoding plug-in of that name: protocol version 1, values
// as text. The protocol is in PostgreSQL's manual, "Logical Replication Message Formats".
package pgoutput

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"syncline"
	"syncline/internal/plant"
)

// ErrMalformed is wrapped by every error about a message that does not follow the protocol.
var ErrMalformed = errors.New("malformed pgoutput message")

// Type is the first byte of a message.
type Type byte

const (
	Begin    Type = 'B'
	Commit   Type = 'C'
	Origin   Type = 'O'
	Relate   Type = 'R'
	Typed    Type = 'Y'
	Insert   Type = 'I'
	Update   Type = 'U'
	Delete   Type = 'D'
	Truncate Type = 'T'
	Logical  Type = 'M'
)

// Message is a decoded message. Which fields are set depends on Type; the others are zero. Rows and names share the memory
// of the decoded data or of the decoder's arena, and stay valid for as long as anything refers to them.
type Message struct {
	Type Type
	// Cascade and Restart are the options of a Truncate.
	Cascade, Restart bool
	// Transactional tells of a Logical whether it belongs to the transaction around it.
	Transactional bool
	// Whole tells of an Update or Delete whether Before is the whole old row (REPLICA IDENTITY FULL), not the identity only.
	Whole bool
	// Old tells of a row whether an old row was sent with it, also where rows are not wanted.
	Old bool
	// XID is the transaction's number (Begin).
	XID uint32
	// Relation is the table's id (Relate, Insert, Update, Delete).
	Relation uint32
	// LSN is of a Begin and a Commit where the commit record starts, of an Origin the commit's place at the origin, of a
	// Logical the message's place. End is where the commit record ends (Commit).
	LSN, End uint64
	// Time is when the transaction committed (Begin, Commit).
	Time time.Time
	// Layout is the one that the row was decoded by; nil where the relation's rows are not wanted, and then there is no row.
	Layout *Layout
	// Before is the old row of an Update or Delete as far as it was sent, nil where it was not.
	Before []syncline.Value
	// After is the new row of an Insert or Update. A column that the server left out because it did not change is taken from
	// Before where it was sent there, else it is Unset.
	After []syncline.Value
	// Table is what a Relate announces.
	Table *Relation
	// Tables are the relations of a Truncate.
	Tables []uint32
	// Name is an Origin's name, or a Logical's prefix.
	Name string
	// Content is a Logical's content.
	Content []byte
}

// Relation is a table as it was when the following rows were written.
type Relation struct {
	ID              uint32
	Namespace, Name string
	// Identity is the table's REPLICA IDENTITY: 'd'efault, 'n'othing, 'f'ull, 'i'ndex.
	Identity byte
	Columns  []RelationColumn
}

// RelationColumn is a column of a Relation. Generated and dropped columns are not among them.
type RelationColumn struct {
	Name string
	// Identity tells whether the column belongs to the replica identity.
	Identity bool
	Type     uint32
	Modifier int32
}

// Decoder decodes the messages of one replication stream in order. Its rows live in an arena of which nothing is used
// twice. It is used by one goroutine.
type Decoder struct {
	Arena
	layouts  map[uint32]*Layout
	lastID   uint32
	last     *Layout
	lastGood bool
}

// Bind says how the rows of a relation are decoded from now on. A nil layout skips them.
func (d *Decoder) Bind(relation uint32, l *Layout) {
	if d.layouts == nil {
		d.layouts = make(map[uint32]*Layout)
	}
	d.layouts[relation] = l
	d.lastGood = false
}

// Layout returns what the relation is bound to, nil where it is not.
func (d *Decoder) Layout(relation uint32) *Layout { return d.layouts[relation] }

// Decode reads one message into m. It changes data (hexadecimal text becomes bytes in place), keeps it and hands out parts
// of it: the caller gives it away. A row of a relation that was not bound is an error.
func (d *Decoder) Decode(data []byte, m *Message) error {
	if len(data) == 0 {
		return malformed("empty message")
	}
	*m = Message{Type: Type(data[0])}
	r := buffer{data: data[1:]}
	switch m.Type {
	case Begin:
		m.LSN, m.Time, m.XID = r.uint64(), r.time(), r.uint32()
	case Commit:
		r.byte() // flags, unused
		m.LSN, m.End, m.Time = r.uint64(), r.uint64(), r.time()
	case Origin:
		m.LSN, m.Name = r.uint64(), r.string()
	case Relate:
		m.Table = r.relation()
		m.Relation = m.Table.ID
	case Typed:
		r.uint32()
		r.string()
		m.Name = r.string()
	case Insert, Update, Delete:
		return d.row(&r, m)
	case Truncate:
		n := r.uint32()
		options := r.byte()
		m.Cascade, m.Restart = options&1 != 0, options&2 != 0
		if uint64(n)*4 != uint64(len(r.data)) {
			return malformed("truncate of another number of relations than announced")
		}
		m.Tables = make([]uint32, n)
		for i := range m.Tables {
			m.Tables[i] = r.uint32()
		}
	case Logical:
		m.Transactional = r.byte()&1 != 0
		m.LSN, m.Name = r.uint64(), r.string()
		m.Content = r.take(r.uint32())
	case 'S', 'E', 'c', 'A':
		return malformed("a message of a streamed transaction (%q), which nobody asked for", byte(m.Type))
	case 'b', 'P', 'K', 'r', 'p':
		return malformed("a message of a two-phase commit (%q), which nobody asked for", byte(m.Type))
	default:
		return malformed("unknown type %q", byte(m.Type))
	}
	return r.end(m.Type)
}

// row reads an Insert, Update or Delete.
func (d *Decoder) row(r *buffer, m *Message) error {
	m.Relation = r.uint32()
	if m.Relation != d.lastID || !d.lastGood {
		l, ok := d.layouts[m.Relation]
		if !ok {
			return malformed("row of relation %d, which was not announced", m.Relation)
		}
		d.lastID, d.last, d.lastGood = m.Relation, l, true
	}
	part := r.byte()
	m.Old = m.Type != Insert && (part == 'K' || part == 'O')
	if m.Layout = d.last; m.Layout == nil {
		return nil
	}
	var err error
	if m.Old {
		m.Whole = part == 'O'
		if m.Before, err = d.tuple(r, m.Layout, !m.Whole); err != nil {
			return err
		}
		if m.Type == Delete {
			return r.end(m.Type)
		}
		part = r.byte()
	}
	if part != 'N' || m.Type == Delete {
		return malformed("%q with a row of kind %q", byte(m.Type), part)
	}
	if m.After, err = d.tuple(r, m.Layout, false); err != nil {
		return err
	}
	if m.Before != nil {
		for i := range m.After {
			if m.After[i].IsUnset() {
				m.After[i] = m.Before[i]
			}
		}
	}
	return r.end(m.Type)
}

// tuple reads a row. Of an identity-only row, the server sends null for the columns outside: they are unset.
func (d *Decoder) tuple(r *buffer, l *Layout, identityOnly bool) ([]syncline.Value, error) {
	data := r.data
	if len(data) < 2 || int(binary.BigEndian.Uint16(data)) != len(l.columns) {
		return nil, malformed("row with another number of columns than its relation")
	}
	data = data[2:]
	row := d.Row(l)
	for i := range l.columns {
		c := &l.columns[i]
		if len(data) == 0 {
			return nil, malformed("row cut off")
		}
		kind := data[0]
		data = data[1:]
		v := syncline.Null
		switch kind {
		case 'n':
		case 'u':
			if !plant.NullForUnchanged {
				v = syncline.Unset
			}
		case 't':
			if len(data) < 4 {
				return nil, malformed("row cut off")
			}
			n := uint64(binary.BigEndian.Uint32(data))
			if data = data[4:]; n > uint64(len(data)) {
				return nil, malformed("value longer than its message")
			}
			if c.Index >= 0 {
				var err error
				if v, err = d.Value(c, data[:n:n]); err != nil {
					return nil, err
				}
			}
			data = data[n:]
		default:
			return nil, malformed("value of kind %q", kind)
		}
		if c.Index < 0 {
			continue
		}
		if identityOnly && !c.Identity {
			v = syncline.Unset
		}
		row[c.Index] = v
	}
	r.data = data
	return row, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
