package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"syncline/internal/problem"
)

// Streamed is one message of a stream of changes of tasks: one of its fields is set.
type Streamed struct {
	Task      *TaskEvent
	Completed *Completed
	Gap       *Gap
}

const (
	// comeBack is how long the client waits before it opens a stream that has ended again.
	comeBack = time.Second
	// maxLine bounds a line of a stream.
	maxLine = 1 << 20
)

// Watch calls each for every message of the stream until ctx ends, which is no error, or each returns one. A stream that ends is opened
// again where it ended; one that cannot be opened at first is an error.
func (c *Client) Watch(ctx context.Context, q StreamQuery, each func(Streamed) error) error {
	opened := false
	for ctx.Err() == nil {
		if err := c.stream(ctx, &q, &opened, each); err != nil && ctx.Err() == nil {
			return err
		}
		timer := time.NewTimer(comeBack)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return nil
}

// stream reads one stream to its end. It returns nil where it should be opened again.
func (c *Client) stream(ctx context.Context, q *StreamQuery, opened *bool, each func(Streamed) error) error {
	choice := q.choice()
	values := choice.values()
	if q.Status != "" {
		values.Set("status", string(q.Status))
	}
	if q.After != "" {
		values.Set("after", q.After)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/tasks/events?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if q.LastID != "" {
		req.Header.Set("Last-Event-ID", q.LastID)
	}
	patient := *c.http
	patient.Timeout = 0 // the stream has no end
	res, err := patient.Do(req)
	if err != nil {
		if *opened {
			return nil
		}
		return c.unreachable(ctx, err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	if res.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(res.Body, maxLine))
		p := &Problem{}
		if err == nil && json.Unmarshal(answer, p) == nil && p.Code != "" {
			p.Status = res.StatusCode
			if *opened && p.Status >= http.StatusInternalServerError {
				return nil
			}
			return p
		}
		return problem.New(res.StatusCode, "answer_unknown", "the server's answer to GET /v1/tasks/events is not one of syncline's",
			"check that --server names a syncline of this version")
	}
	*opened = true
	var event, data string
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			q.LastID = value
		case "event":
			event = value
		case "data":
			data = value
		case "":
			if err := hand(event, data, each); err != nil {
				return err
			}
			event, data = "", ""
		}
	}
	return nil // the connection was lost, or the stream was ended
}

// hand gives a message to each; one of a kind that is not known is left out.
func hand(event, data string, each func(Streamed) error) error {
	var s Streamed
	var into any
	switch event {
	case "task":
		s.Task = &TaskEvent{}
		into = s.Task
	case "completed":
		s.Completed = &Completed{}
		into = s.Completed
	case "gap":
		s.Gap = &Gap{}
		into = s.Gap
	default:
		return nil
	}
	if err := json.Unmarshal([]byte(data), into); err != nil {
		return err
	}
	return each(s)
}
