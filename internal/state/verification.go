package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"syncline"
)

// The status of a verification.
const (
	VerificationRunning   = "running"
	VerificationDone      = "done"
	VerificationFailed    = "failed"
	VerificationCancelled = "cancelled"
)

// Verification is a comparison of targets with what rules make of their sources, and how far it has got. What Spec and Progress mean is
// the business of who compares.
type Verification struct {
	ID string
	// Status is one of the constants above.
	Status         string
	Spec, Progress []byte
	// Created and Updated are set by the store.
	Created, Updated time.Time
}

// Difference is a record that a verification found to differ. It has no value of the record.
type Difference struct {
	Rule string
	// Key is the target's, Source that of the record of the source which it is made of; "" = none is known.
	Key, Source syncline.Key
	Kind        string
	Fields      []string
	// State is what became of it: found, repaired, or foreign.
	State string
}

// AddVerification takes note of a verification that begins.
func (s *Store) AddVerification(ctx context.Context, v Verification) error {
	now := micros(time.Now())
	return s.write(ctx, "add verification "+v.ID, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlAddVerification, v.ID, v.Status, string(v.Spec), string(v.Progress), now, now)
		return err
	})
}

// SaveVerification writes status and progress, and the differences that were found or changed since, together.
func (s *Store) SaveVerification(ctx context.Context, v Verification, found []Difference) error {
	return s.write(ctx, "save verification "+v.ID, func(ctx context.Context, w *writer) error {
		n, err := w.exec(ctx, sqlSaveVerification, v.Status, string(v.Progress), micros(time.Now()), v.ID)
		if err == nil && n == 0 {
			err = notFound("verification_not_found", "verification", v.ID)
		}
		for i := 0; err == nil && i < len(found); i++ {
			d := &found[i]
			fields, e := json.Marshal(d.Fields)
			if e != nil {
				return e
			}
			_, err = w.exec(ctx, sqlSaveDifference, v.ID, d.Rule, string(d.Key), string(d.Source), d.Kind, string(fields), d.State)
		}
		return err
	})
}

// Verification returns one; ErrNotFound is in the chain where there is none.
func (s *Store) Verification(ctx context.Context, id string) (Verification, error) {
	list, err := s.verifications(ctx, sqlVerification, id)
	if err == nil && len(list) == 0 {
		err = notFound("verification_not_found", "verification", id)
	}
	if err != nil {
		return Verification{}, err
	}
	return list[0], nil
}

// OpenVerifications returns those that are not over, the oldest first.
func (s *Store) OpenVerifications(ctx context.Context) ([]Verification, error) {
	return s.verifications(ctx, sqlOpenVerifications)
}

func (s *Store) verifications(ctx context.Context, query string, args ...any) ([]Verification, error) {
	var list []Verification
	err := s.read(ctx, "read verifications", func(rows *sql.Rows) error {
		v, _, err := scanVerification(rows)
		list = append(list, v)
		return err
	}, query, args...)
	return list, err
}

func scanVerification(rows *sql.Rows) (v Verification, n int64, err error) {
	var created, updated int64
	err = rows.Scan(&n, &v.ID, &v.Status, &v.Spec, &v.Progress, &created, &updated)
	v.Created, v.Updated = fromMicros(created), fromMicros(updated)
	return v, n, err
}

// Verifications returns a page of the verifications, the newest first, and the cursor of the next page, "" after the last.
func (s *Store) Verifications(ctx context.Context, after string, limit int) ([]Verification, string, error) {
	n, err := cursorOf(after)
	if err != nil {
		return nil, "", err
	}
	return readPage(ctx, s, "list verifications", pageOf(limit), scanVerification, sqlVerifications, n, n)
}

// Differences returns a page of what a verification found, and the cursor of the next page, "" after the last.
func (s *Store) Differences(ctx context.Context, id, after string, limit int) ([]Difference, string, error) {
	n, err := cursorOf(after)
	if err != nil {
		return nil, "", err
	}
	return readPage(ctx, s, "list differences of verification "+id, pageOf(limit), func(rows *sql.Rows) (d Difference, n int64, err error) {
		var fields []byte
		if err := rows.Scan(&n, &d.Rule, &d.Key, &d.Source, &d.Kind, &fields, &d.State); err != nil {
			return d, n, err
		}
		if err := json.Unmarshal(fields, &d.Fields); err != nil {
			return d, n, corrupt(err)
		}
		return d, n, nil
	}, sqlDifferences, id, n)
}

// TrimVerifications forgets verifications that ended before this time, with what they found.
func (s *Store) TrimVerifications(ctx context.Context, before time.Time) error {
	return s.write(ctx, "trim verifications", func(ctx context.Context, w *writer) error {
		if _, err := w.exec(ctx, sqlTrimDifferences, micros(before)); err != nil {
			return err
		}
		_, err := w.exec(ctx, sqlTrimVerifications, micros(before))
		return err
	})
}

// BeginAgain has a verification begin anew, as it was asked to: what it found before is forgotten. One that is not known begins.
func (s *Store) BeginAgain(ctx context.Context, v Verification) error {
	now := micros(time.Now())
	return s.write(ctx, "begin verification "+v.ID, func(ctx context.Context, w *writer) error {
		if _, err := w.exec(ctx, sqlForgetDifferences, v.ID); err != nil {
			return err
		}
		if _, err := w.exec(ctx, sqlAddVerification, v.ID, v.Status, string(v.Spec), string(v.Progress), now, now); err != nil {
			return err
		}
		_, err := w.exec(ctx, sqlRestartVerification, v.Status, string(v.Spec), string(v.Progress), now, v.ID)
		return err
	})
}

// ForgetDifferences forgets what a verification found of a rule, which it compares from the beginning.
func (s *Store) ForgetDifferences(ctx context.Context, id, rule string) error {
	return s.write(ctx, "forget differences of verification "+id, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlForgetDifferencesOf, id, rule)
		return err
	})
}

// Verified is what the last verification of a rule came to that compared everything.
type Verified struct {
	// Rule is a rule's, or that of its part for one entity.
	Rule, Verification              string
	Records, Differences, Unsettled int64
	At                              time.Time
}

// SetVerified notes what a verification of a rule came to.
func (s *Store) SetVerified(ctx context.Context, v Verified) error {
	return s.write(ctx, "note verification of "+v.Rule, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlSetVerified, v.Rule, v.Verification, v.Records, v.Differences, v.Unsettled, micros(v.At))
		return err
	})
}

// Verified returns what is known of all rules.
func (s *Store) Verified(ctx context.Context) ([]Verified, error) {
	var list []Verified
	err := s.read(ctx, "read what was verified", func(rows *sql.Rows) error {
		var v Verified
		var at int64
		err := rows.Scan(&v.Rule, &v.Verification, &v.Records, &v.Differences, &v.Unsettled, &at)
		v.At = fromMicros(at)
		list = append(list, v)
		return err
	}, sqlVerified)
	return list, err
}
