package alert

import "time"

// What a message is about.
const (
	// Firing: the rule's condition has come to hold.
	Firing = "firing"
	// Resolved: it holds no more.
	Resolved = "resolved"
	// Reminder: it still holds.
	Reminder = "reminder"
	// Withdrawn: the configuration has the rule no more. Nobody is told; the history has it.
	Withdrawn = "withdrawn"
	// Test: somebody tries a channel.
	Test = "test"
)

// maxListed bounds the alerts that a message lists.
const maxListed = 50

// Message is one piece of news about one rule.
type Message struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	What     string    `json:"what" enum:"firing,resolved,reminder,withdrawn,test"`
	Rule     string    `json:"rule"`
	Severity Severity  `json:"severity" enum:"info,warning,critical"`
	Summary  string    `json:"summary,omitempty" doc:"What the configuration calls the rule."`
	// Alerts are what the news is about, at most 50; More is how many others.
	Alerts []Alert `json:"alerts" nullable:"false"`
	More   int     `json:"more,omitempty" doc:"How many more alerts the message is about than it lists."`
	// Firing is how many alerts of the rule fire now.
	Firing int `json:"firing" doc:"How many alerts of the rule fire after this."`
	// Channels are those that it goes to.
	Channels []string `json:"channels" nullable:"false"`
}

// Alert is a part of the whole over which a rule's condition holds, or held.
type Alert struct {
	Labels map[string]string  `json:"labels,omitempty" doc:"Which part it is about."`
	Values map[string]float64 `json:"values,omitempty" doc:"The signals that the rule looks at."`
	// Since is when the condition came to hold, Ended when it ceased to.
	Since time.Time  `json:"since"`
	Ended *time.Time `json:"ended,omitempty"`
	// Flapping: it changes so often that it is told of less often.
	Flapping bool `json:"flapping,omitempty" doc:"It changes so often that it is told of at most once in half an hour."`
}

// Silence keeps messages back.
type Silence struct {
	ID string `json:"id"`
	// Rule is the id of one rule; "" = all. Labels are those that an alert must have.
	Rule   string            `json:"rule,omitempty" doc:"Without it: all rules."`
	Labels map[string]string `json:"labels,omitempty" doc:"The labels that an alert must have."`
	Reason string            `json:"reason"`
	By     string            `json:"by"`
	Since  time.Time         `json:"since"`
	Until  time.Time         `json:"until"`
}

func (s *Silence) covers(rule string, labels map[string]string, now time.Time) bool {
	return now.Before(s.Until) && (s.Rule == "" || s.Rule == rule) && within(s.Labels, labels)
}

// Covering returns the silence that keeps back what is told of the alert, nil where there is none.
func Covering(list []Silence, rule string, labels map[string]string, now time.Time) *Silence {
	for i := range list {
		if list[i].covers(rule, labels, now) {
			return &list[i]
		}
	}
	return nil
}
