package alert

import (
	"strconv"
	"time"
)

// builtIn is a rule that is there without being written. Titles and hints are by language.
type builtIn struct {
	spec        Spec
	title, hint map[Language]string
}

// BuiltIn returns the rules that are active wherever there is a channel, unless the configuration says otherwise of one by its id: a route
// lags when an event waits for longer than lag, the disk is nearly full when less than this share of it is free. They send to no channel yet.
func BuiltIn(lag time.Duration, diskFree float64) []Spec {
	list := make([]Spec, len(builtIns))
	for i := range builtIns {
		list[i] = builtIns[i].spec
		list[i].Enabled = true
		switch list[i].Name {
		case "lag":
			list[i].When = "lag_seconds > " + strconv.FormatFloat(lag.Seconds(), 'f', -1, 64) + " && !(paused > 0)" // what waits then is what its operator wants
		case "log-disk":
			list[i].When = "log_disk_free_ratio < " + strconv.FormatFloat(diskFree, 'f', -1, 64)
		}
	}
	return list
}

var builtIns = []builtIn{
	{Spec{Name: "health-critical", When: "health >= 2", Severity: Critical},
		map[Language]string{English: "Health is critical", Chinese: "健康状况严重"},
		map[Language]string{English: "`syncline health` shows why", Chinese: "运行 `syncline health` 查看原因"}},
	{Spec{Name: "lag", For: time.Minute, Severity: Warning},
		map[Language]string{English: "A route lags behind its source", Chinese: "同步路由落后于数据源"},
		map[Language]string{English: "`syncline lag` and `syncline routes` show where it stands", Chinese: "运行 `syncline lag` 和 `syncline routes` 查看进度"}},
	{Spec{Name: "failed-tasks", When: "failed_tasks > 0", Severity: Warning},
		map[Language]string{English: "Tasks failed and wait for a person", Chinese: "有失败的任务等待人工处理"},
		map[Language]string{English: "`syncline tasks --status failed` shows them", Chinese: "运行 `syncline tasks --status failed` 查看"}},
	{Spec{Name: "conflicts", When: "conflicts_waiting > 0", Severity: Warning},
		map[Language]string{English: "Conflicts wait for a decision", Chinese: "有冲突等待人工裁决"},
		map[Language]string{English: "`syncline conflicts` shows them", Chinese: "运行 `syncline conflicts` 查看"}},
	{Spec{Name: "breaker-open", When: "breaker_open > 0", For: time.Minute, Severity: Warning},
		map[Language]string{English: "A route does not reach its target", Chinese: "同步路由无法写入目标系统"},
		map[Language]string{English: "`syncline routes` shows why; one that is degraded goes on by itself, one that has halted waits for you", Chinese: "运行 `syncline routes` 查看原因;degraded 状态的路由会自动恢复,halted 状态的需要人工处理"}},
	{Spec{Name: "slot-at-risk", When: "slot_at_risk > 0", Severity: Critical},
		map[Language]string{English: "A source may take away what its slot holds", Chinese: "数据源的复制槽面临失效风险"},
		map[Language]string{English: "`syncline status` shows the slot; see docs/operations.md", Chinese: "运行 `syncline status` 查看复制槽,参见 docs/operations.md"}},
	{Spec{Name: "log-disk", Severity: Critical},
		map[Language]string{English: "The disk with the logs is nearly full", Chinese: "日志所在磁盘空间即将用尽"},
		map[Language]string{English: "make room, or lower log.max_bytes", Chinese: "请释放磁盘空间,或调低 log.max_bytes"}},
	{Spec{Name: "verify-differences", When: "verify_differences > 0", Severity: Warning},
		map[Language]string{English: "Source and target differ", Chinese: "数据源与目标不一致"},
		map[Language]string{English: "`syncline verify` shows the records", Chinese: "运行 `syncline verify` 查看差异记录"}},
	{Spec{Name: "schedule-failed", When: "schedule_failed > 0", Severity: Warning},
		map[Language]string{English: "A scheduled run failed", Chinese: "定时任务执行失败"},
		map[Language]string{English: "`syncline schedules history` shows why", Chinese: "运行 `syncline schedules history` 查看原因"}},
	{Spec{Name: "schedule-missed", When: "schedule_missed > 0", Severity: Warning},
		map[Language]string{English: "A scheduled run is overdue", Chinese: "定时任务未按时执行"},
		map[Language]string{English: "`syncline schedules` shows when it ran last", Chinese: "运行 `syncline schedules` 查看上次执行时间"}},
}

// IsBuiltIn reports whether a rule of this id is built in.
func IsBuiltIn(id string) bool { return builtInOf(id) != nil }

func builtInOf(id string) *builtIn {
	for i := range builtIns {
		if builtIns[i].spec.Name == id {
			return &builtIns[i]
		}
	}
	return nil
}
