//go:build plant_resume_by_change_lsn

package plant

// ResumeByChangeLSN: a stream that goes on leaves out what was written, instead of what was committed, before the log's end.
const ResumeByChangeLSN = true
