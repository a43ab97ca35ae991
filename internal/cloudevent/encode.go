package cloudevent

import (
	"strconv"
	"strings"
	"time"

	"syncline"
	"syncline/internal/document"
)

// AppendChange appends a change that an event target is asked to send, as one event of the JSON event format. Its id is the
// event's own, the same at every attempt. The data are the record's images after the rule's transform, {"before": …,
// "after": …}, null where there is none; columns that were not sent are left out. source is the attribute of that name.
func AppendChange(dst []byte, source string, c *syncline.Change) []byte {
	e := &c.Batch.Events[c.Event]
	meta := e.Meta
	if meta == nil {
		meta = new(syncline.Meta)
	}
	dst = append(dst, `{"specversion":"`+specVersion+`"`...)
	dst = appendAttribute(dst, "id", c.ID())
	dst = appendAttribute(dst, "source", source)
	dst = appendAttribute(dst, "type", e.Schema.Entity+"."+e.Op.String())
	if key, ok := c.Row.Key(); ok {
		dst = appendAttribute(dst, "subject", string(key))
	}
	if t := c.Batch.TimeOf(c.Event); !t.IsZero() {
		dst = appendAttribute(dst, "time", t.UTC().Format(time.RFC3339Nano))
	}
	version := c.Version
	if version == 0 {
		version = meta.Version
	}
	if version != 0 {
		dst = appendAttribute(dst, "entityversion", strconv.FormatInt(version, 10))
	}
	if meta.Priority != syncline.PriorityNormal {
		dst = appendAttribute(dst, "priority", meta.Priority.String())
	}
	dst = appendAttribute(dst, "correlationid", meta.Correlation)
	dst = appendAttribute(dst, "userid", meta.User)
	dst = appendAttribute(dst, "sessionid", meta.Session)
	dst = appendAttribute(dst, "reason", meta.Reason)
	dst = appendAttribute(dst, "tags", strings.Join(meta.Tags, ","))
	dst = appendAttribute(dst, "into", string(meta.Into))
	if c.Before != nil && e.After != nil {
		if names := changedFields(c); len(names) <= maxAttribute {
			dst = appendAttribute(dst, "changedfields", names)
		}
	}
	dst = appendAttribute(dst, "traceparent", meta.Trace)
	if c.Row.Values != nil {
		before, after := c.Before, c.Row.Values
		if e.After == nil {
			after = nil
			if before == nil {
				before = c.Row.Values
			}
		}
		dst = append(dst, `,"datacontenttype":"application/json","data":{"before":`...)
		dst = appendImage(dst, c.Row.Schema, before)
		dst = append(dst, `,"after":`...)
		dst = appendImage(dst, c.Row.Schema, after)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// changedFields names the fields of the record, as the rule makes it, that the event changed, as far as that can be told: one that was not
// sent did not change, one that the before image lacks may have. Names are written like the parts of a key.
func changedFields(c *syncline.Change) string {
	e := syncline.Event{Schema: c.Row.Schema, Before: c.Before, After: c.Row.Values}
	var names []syncline.Value
	for i := range c.Row.Values {
		if e.Changed(i) {
			names = append(names, syncline.Text(c.Row.Schema.Columns[i].Name))
		}
	}
	return string(syncline.MakeKey(names...))
}

// appendAttribute leaves out an attribute that would be empty: the specification has none.
func appendAttribute(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return document.AppendString(dst, value)
}

func appendImage(dst []byte, s *syncline.Schema, values []syncline.Value) []byte {
	if values == nil {
		return append(dst, "null"...)
	}
	return document.Append(dst, syncline.Row{Schema: s, Values: values})
}
