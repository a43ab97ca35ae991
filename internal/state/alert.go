package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"syncline"
	"syncline/internal/alert"
)

const (
	// maxWaiting bounds what waits for a channel that takes nothing.
	maxWaiting = 1000
	// maxMessages bounds the history.
	maxMessages = 20_000
)

// The states of a delivery.
const (
	DeliveryWaiting = "waiting"
	DeliverySent    = "sent"
	DeliveryFailed  = "failed"
)

// dropped is why the oldest message of a channel that takes nothing is given up.
var dropped = syncline.Errorf(syncline.Rejected, "alert_dropped", "more than %d messages waited for the channel", maxWaiting)

// Delivery is what became of telling one channel of a message.
type Delivery struct {
	message  int64
	Channel  string `json:"channel"`
	Status   string `json:"status" enum:"waiting,sent,failed"`
	Attempts int    `json:"attempts"`
	// NextTry is when it is tried again; zero = at once, or never.
	NextTry time.Time `json:"next_try,omitzero"`
	Code    string    `json:"code,omitempty"`
	Error   string    `json:"error,omitempty"`
	Updated time.Time `json:"updated"`
}

// Alerts returns what is remembered, by its keys.
func (s *Store) Alerts(ctx context.Context) (map[string]alert.Instance, error) {
	all := make(map[string]alert.Instance)
	err := s.read(ctx, "read alerts", func(rows *sql.Rows) error {
		var key string
		var document []byte
		if err := rows.Scan(&key, &document); err != nil {
			return err
		}
		var i alert.Instance
		if err := json.Unmarshal(document, &i); err != nil {
			return corrupt(err)
		}
		all[key] = i
		return nil
	}, sqlAlerts)
	return all, err
}

// SaveAlerts remembers what has changed, forgets what is gone, and takes the messages in for their channels, all of it or nothing. Of a
// channel for which too many messages wait, the oldest are given up.
func (s *Store) SaveAlerts(ctx context.Context, changed map[string]alert.Instance, gone []string, messages []alert.Message) error {
	return s.write(ctx, "save alerts", func(ctx context.Context, w *writer) error {
		for _, key := range gone {
			if _, err := w.exec(ctx, sqlForgetAlert, key); err != nil {
				return err
			}
		}
		for key, i := range changed {
			document, err := json.Marshal(i)
			if err != nil {
				return err
			}
			if _, err := w.exec(ctx, sqlSaveAlert, key, string(document)); err != nil {
				return err
			}
		}
		for i := range messages {
			if err := w.addMessage(ctx, &messages[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) addMessage(ctx context.Context, m *alert.Message) error {
	document, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := w.exec(ctx, sqlAddMessage, m.ID, micros(m.At), m.Rule, m.What, string(document)); err != nil {
		return err
	}
	for _, channel := range m.Channels {
		if _, err := w.exec(ctx, sqlDeliver, channel, micros(m.At), m.ID); err != nil {
			return err
		}
		if _, err := w.exec(ctx, sqlGiveUpOldest, dropped.Code, dropped.Msg, micros(m.At), channel, channel, maxWaiting); err != nil {
			return err
		}
	}
	return nil
}

// Undelivered is a message that waits for a channel.
type Undelivered struct {
	Delivery
	Message alert.Message
}

// Undelivered returns the first messages that wait for the channel, the oldest first.
func (s *Store) Undelivered(ctx context.Context, channel string, limit int) (list []Undelivered, err error) {
	err = s.read(ctx, "read messages", func(rows *sql.Rows) error {
		var u Undelivered
		var document []byte
		if err := scanDelivery(rows, &u.Delivery, &document); err != nil {
			return err
		}
		if err := json.Unmarshal(document, &u.Message); err != nil {
			return corrupt(err)
		}
		list = append(list, u)
		return nil
	}, sqlUndelivered, channel, limit)
	return list, err
}

// UndeliveredCounts returns how many messages wait for each channel for which any does.
func (s *Store) UndeliveredCounts(ctx context.Context) (map[string]int, error) {
	all := make(map[string]int)
	err := s.read(ctx, "count messages", func(rows *sql.Rows) error {
		var channel string
		var n int
		err := rows.Scan(&channel, &n)
		all[channel] = n
		return err
	}, sqlUndeliveredOf)
	return all, err
}

// EndDelivery writes down what came of an attempt.
func (s *Store) EndDelivery(ctx context.Context, d *Delivery) error {
	return s.write(ctx, "note a delivery", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlEndDelivery, d.Status, d.Attempts, micros(d.NextTry), d.Code, d.Error, micros(d.Updated), d.message, d.Channel)
		return err
	})
}

func scanDelivery(rows *sql.Rows, d *Delivery, more ...any) error {
	var next, updated int64
	err := rows.Scan(append([]any{&d.message, &d.Channel, &d.Status, &d.Attempts, &next, &d.Code, &d.Error, &updated}, more...)...)
	d.NextTry, d.Updated = fromMicros(next), fromMicros(updated)
	return err
}

// Told is a message with what became of it.
type Told struct {
	alert.Message
	Deliveries []Delivery `json:"deliveries" nullable:"false" doc:"What became of telling each channel."`
	n          int64
}

// ToldFilter chooses messages. Empty fields match all.
type ToldFilter struct {
	Rule string
	// Failed chooses those that a channel did not get.
	Failed bool
	After  string
	Limit  int
}

// Told returns a page of the messages, the newest first, and the cursor of the next page, "" after the last.
func (s *Store) Told(ctx context.Context, f ToldFilter) (list []Told, next string, err error) {
	after, err := cursorOf(f.After)
	if err != nil {
		return nil, "", err
	}
	var query strings.Builder
	query.WriteString(sqlMessages)
	var args []any
	if after > 0 {
		query.WriteString(" AND n < ?")
		args = append(args, after)
	}
	if f.Rule != "" {
		query.WriteString(" AND rule = ?")
		args = append(args, f.Rule)
	}
	if f.Failed {
		query.WriteString(" AND n IN (SELECT alert_delivery.message FROM alert_delivery WHERE status = 'failed')")
	}
	query.WriteString(" ORDER BY n DESC LIMIT ?")
	list, next, err = readPage(ctx, s, "read the history of alerts", pageOf(f.Limit), func(rows *sql.Rows) (t Told, n int64, err error) {
		var document []byte
		if err := rows.Scan(&t.n, &document); err != nil {
			return t, 0, err
		}
		if err := json.Unmarshal(document, &t.Message); err != nil {
			return t, 0, corrupt(err)
		}
		t.Deliveries = []Delivery{}
		return t, t.n, nil
	}, query.String(), args...)
	if err != nil || len(list) == 0 {
		return list, next, err
	}
	byN := make(map[int64]*Told, len(list))
	for i := range list {
		byN[list[i].n] = &list[i]
	}
	err = s.read(ctx, "read the history of alerts", func(rows *sql.Rows) error {
		var d Delivery
		err := scanDelivery(rows, &d)
		if t := byN[d.message]; err == nil && t != nil {
			t.Deliveries = append(t.Deliveries, d)
		}
		return err
	}, sqlDeliveries, list[len(list)-1].n, list[0].n)
	return list, next, err
}

// AddSilence takes a silence in.
func (s *Store) AddSilence(ctx context.Context, q *alert.Silence) error {
	labels, err := json.Marshal(q.Labels)
	if err != nil {
		return err
	}
	return s.write(ctx, "add a silence", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlAddSilence, q.ID, q.Rule, string(labels), q.Reason, q.By, micros(q.Since), micros(q.Until))
		return err
	})
}

// Silences returns those that have not ended, the oldest first.
func (s *Store) Silences(ctx context.Context, now time.Time) (list []alert.Silence, err error) {
	err = s.read(ctx, "read silences", func(rows *sql.Rows) error {
		var q alert.Silence
		var n, since, until int64
		var labels []byte
		if err := rows.Scan(&n, &q.ID, &q.Rule, &labels, &q.Reason, &q.By, &since, &until); err != nil {
			return err
		}
		if err := json.Unmarshal(labels, &q.Labels); err != nil {
			return corrupt(err)
		}
		q.Since, q.Until = fromMicros(since), fromMicros(until)
		list = append(list, q)
		return nil
	}, sqlSilences, micros(now))
	return list, err
}

// EndSilence ends one now. ErrNotFound is in the chain where there is none that has not ended.
func (s *Store) EndSilence(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, "end a silence", func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, sqlEndSilence, micros(now), id, micros(now))
		if err == nil && n == 0 {
			err = notFound("silence_not_found", "silence", id)
		}
		return err
	})
}

// TrimAlerts removes what of the history and of ended silences is older.
func (s *Store) TrimAlerts(ctx context.Context, before time.Time) error {
	return s.write(ctx, "trim the history of alerts", func(ctx context.Context, w *writer) error {
		if _, err := w.exec(ctx, sqlTrimMessages, micros(before), maxMessages); err != nil {
			return err
		}
		if _, err := w.exec(ctx, sqlTrimDelivered); err != nil {
			return err
		}
		_, err := w.exec(ctx, sqlTrimSilences, micros(before))
		return err
	})
}
