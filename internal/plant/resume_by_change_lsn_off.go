//go:build !plant_resume_by_change_lsn

package plant

// ResumeByChangeLSN is off in a normal build.
const ResumeByChangeLSN = false
