package state

// Every statement of the store but those of its migrations, in the SQL that SQLite and PostgreSQL share: `?` stands for a
// parameter, rows are compared as rows, conflicts are named.
const (
	sqlStoreID   = `SELECT id FROM store`
	sqlNameStore = `INSERT INTO store (id, created) VALUES (?, ?)`

	routeColumns = `route, slice, known, placing, source, signature, run, log, seq, idx, epoch,
		gap_from, gap_to, mixed, updated, folded_seq, folded_idx,
		n_read, n_applied, n_filtered, n_superseded, n_parked, n_skipped, latency, version, keys, settled_seq`
	sqlRoute      = `SELECT ` + routeColumns + ` FROM route WHERE route = ? AND slice = ?`
	sqlRoutes     = `SELECT ` + routeColumns + ` FROM route`
	sqlWriteRoute = `INSERT INTO route (` + routeColumns + `)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (route, slice) DO UPDATE SET known = excluded.known, placing = excluded.placing, source = excluded.source, signature = excluded.signature,
		run = excluded.run, log = excluded.log, seq = excluded.seq, idx = excluded.idx, epoch = excluded.epoch,
		gap_from = excluded.gap_from, gap_to = excluded.gap_to, mixed = excluded.mixed, updated = excluded.updated,
		folded_seq = excluded.folded_seq, folded_idx = excluded.folded_idx, n_read = excluded.n_read,
		n_applied = excluded.n_applied, n_filtered = excluded.n_filtered, n_superseded = excluded.n_superseded,
		n_parked = excluded.n_parked, n_skipped = excluded.n_skipped, latency = excluded.latency, version = excluded.version, keys = excluded.keys,
		settled_seq = excluded.settled_seq`
	sqlMoveRoute = `UPDATE route SET seq = ?, idx = ?, epoch = ?, settled_seq = ?, updated = ?,
		n_read = ?, n_applied = ?, n_filtered = ?, n_superseded = ?, n_parked = ?, n_skipped = ?, latency = ?
		WHERE route = ? AND slice = ?`
	sqlForgetJournal   = `DELETE FROM journal WHERE route = ? AND slice = ?`
	sqlForgetTasks     = `DELETE FROM task WHERE route = ? AND slice = ? RETURNING ` + taskColumns + `, NULL`
	sqlForgetConflicts = `UPDATE conflict SET open = false, choice = '', action = 'superseded' WHERE route = ? AND slice = ? AND open`
	sqlForgetAhead     = `DELETE FROM ahead WHERE route = ? AND slice = ?`
	sqlSlicesOf        = `SELECT route, slice FROM route WHERE source = ?`

	journalColumns = `from_seq, from_idx, to_seq, to_idx, epoch, rule_version, started, ended,
		n_read, n_applied, n_filtered, n_superseded, n_parked, n_skipped, outcomes, latency, latency_us, rules`
	sqlAddJournal = `INSERT INTO journal (route, slice, ` + journalColumns + `)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlJournalOver = `SELECT ` + journalColumns + ` FROM journal WHERE route = ? AND slice = ? AND (from_seq, from_idx) <= (?, ?)
		ORDER BY from_seq DESC, from_idx DESC LIMIT 1`
	sqlJournalFrom = `SELECT ` + journalColumns + ` FROM journal WHERE route = ? AND slice = ? AND from_seq >= ?
		AND from_seq >= COALESCE((SELECT from_seq FROM journal WHERE route = ? AND slice = ? AND (from_seq, from_idx) <= (?, ?)
		ORDER BY from_seq DESC, from_idx DESC LIMIT 1), 0) AND (to_seq, to_idx) > (?, ?) ORDER BY from_seq, from_idx LIMIT ?`
	sqlBatchesFrom   = `SELECT ` + journalColumns + ` FROM journal WHERE route = ? AND slice = ? AND from_seq >= ? ORDER BY from_seq, from_idx`
	sqlOldestBatch   = `SELECT ended FROM journal WHERE route = ? AND slice = ? ORDER BY from_seq, from_idx LIMIT 1`
	sqlJournalBounds = `SELECT COALESCE(min(from_seq), 0), COALESCE(max(from_seq), 0) FROM journal WHERE route = ? AND slice = ?`
	sqlBatchAt       = `SELECT from_seq, ended FROM journal WHERE route = ? AND slice = ? AND from_seq >= ? ORDER BY from_seq, from_idx LIMIT 1`
	sqlJournalBefore = `SELECT to_seq, to_idx FROM journal WHERE route = ? AND slice = ? AND (from_seq, from_idx) < (?, ?)
		ORDER BY from_seq DESC, from_idx DESC LIMIT 1`
	sqlCutJournal = `DELETE FROM journal WHERE route = ? AND slice = ? AND (from_seq, from_idx) >= (?, ?)
		RETURNING ` + journalColumns
	sqlFoldable = `SELECT from_seq, from_idx, to_seq, to_idx FROM journal WHERE route = ? AND slice = ?
		AND from_seq < ? AND (to_seq, to_idx) <= (?, 0) ORDER BY from_seq, from_idx LIMIT ?`
	sqlFold = `DELETE FROM journal WHERE route = ? AND slice = ? AND (from_seq, from_idx) <= (?, ?)`
	// The folded end of a slice never goes back, and its totals hold what was folded already.
	sqlFolded = `UPDATE route SET folded_seq = ?, folded_idx = ? WHERE route = ? AND slice = ?`

	taskColumns = `n, task, route, slice, rule, source, entity, object, record_key, seq, idx, status, outcome, code, error,
		attempts, next_try, created, updated, resolved_log, resolved_seq, resolved_idx, resolved_epoch, class, edit`
	sqlAddTask = `INSERT INTO task (task, route, slice, rule, source, entity, object, record_key, seq, idx, status, pending,
		outcome, code, error, attempts, next_try, created, updated, resolved_log, resolved_seq, resolved_idx, resolved_epoch, class, record)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlTakeOver   = `DELETE FROM task WHERE task = ? AND NOT (route = ? AND slice = ?) RETURNING ` + taskColumns + `, NULL`
	sqlTaskState  = `SELECT route, slice, status, outcome FROM task WHERE task = ?`
	sqlChangeTask = `UPDATE task SET status = ?, pending = ?, outcome = ?, code = ?, error = ?, attempts = ?, next_try = ?,
		updated = ?, resolved_log = ?, resolved_seq = ?, resolved_idx = ?, resolved_epoch = ?, class = ?,
		record = COALESCE(?, record) WHERE task = ?`
	// What came is kept once, however often the record is edited.
	sqlEditTask = `UPDATE task SET original = COALESCE(original, record), record = ?, edit = ? WHERE task = ?`
	sqlOriginal = `SELECT COALESCE(original, record) FROM task WHERE task = ?`
	sqlPending  = `SELECT ` + taskColumns + `, record FROM task
		WHERE route = ? AND slice = ? AND pending = 1 ORDER BY seq, idx, n`
	sqlWaiting = `SELECT ` + taskColumns + `, NULL FROM task
		WHERE route = ? AND slice = ? AND pending = 1 ORDER BY seq, idx, n`
	sqlBehind     = `SELECT count(*) FROM task WHERE record_key = ? AND route = ? AND slice = ? AND rule = ? AND pending = 1 AND (seq, idx) > (?, ?)`
	sqlTask       = `SELECT ` + taskColumns + `, record FROM task WHERE task = ?`
	sqlTasks      = `SELECT ` + taskColumns + `, NULL FROM task WHERE n > ?`
	sqlTasksOpen  = ` AND status <> 'resolved'`
	sqlTasksEnd   = ` ORDER BY n LIMIT ?`
	sqlOfRule     = ` AND (rule = ? OR rule > ? AND rule < ?)`
	sqlCountTasks = `SELECT rule, status, outcome, count(*) FROM task WHERE route = ? AND slice = ? AND created >= ? AND created < ?
		GROUP BY rule, status, outcome`
	sqlCutTasks = `DELETE FROM task WHERE route = ? AND slice = ? AND (seq, idx) >= (?, ?) RETURNING ` + taskColumns + `, NULL`
	// A decision stays with its row: the conflict may be found again, see Choices.
	sqlCutConflicts = `UPDATE conflict SET open = false, action = 'superseded' WHERE route = ? AND slice = ? AND open
		AND NOT EXISTS (SELECT 1 FROM task WHERE task.task = conflict.task AND task.pending = 1)`
	sqlReopen = `UPDATE task SET status = 'retrying', pending = 1, outcome = 0, next_try = 0, updated = ?,
		resolved_log = '', resolved_seq = 0, resolved_idx = 0, resolved_epoch = 0 WHERE task = ?`
	sqlReopenable = `SELECT ` + taskColumns + `, record FROM task WHERE route = ? AND slice = ? AND pending = 0
		AND status = 'resolved' AND (resolved_seq, resolved_idx) > (?, ?) ORDER BY seq, idx, n`
	sqlDropTasks = `DELETE FROM task WHERE n IN (SELECT n FROM task WHERE route = ? AND slice = ? AND pending = 0
		AND (seq, idx) < (?, ?) AND resolved_seq < ? LIMIT ?)`

	sqlAhead = `SELECT rule, seq, idx, outcome FROM ahead WHERE route = ? AND slice = ?
		AND (seq, idx) >= (SELECT seq, idx FROM route WHERE route = ? AND slice = ?)`
	sqlAddAhead = `INSERT INTO ahead (route, slice, seq, idx, rule, outcome, at_seq, at_idx) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (route, slice, seq, idx, rule) DO UPDATE SET outcome = excluded.outcome, at_seq = excluded.at_seq, at_idx = excluded.at_idx`
	sqlCutAhead  = `DELETE FROM ahead WHERE route = ? AND slice = ? AND (at_seq, at_idx) > (?, ?)`
	sqlDropAhead = `DELETE FROM ahead WHERE route = ? AND slice = ? AND seq < ?`

	sqlSchemas    = `SELECT rule, object, source, made FROM rule_schema WHERE route = ? AND slice = ?`
	sqlSaveSchema = `INSERT INTO rule_schema (route, slice, rule, object, source, made, seq, idx) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (route, slice, rule) DO UPDATE SET object = excluded.object, source = excluded.source, made = excluded.made,
		seq = excluded.seq, idx = excluded.idx`
	sqlMoveSchemas = `UPDATE rule_schema SET seq = ?, idx = ? WHERE route = ? AND slice = ?`
	sqlCutSchemas  = `DELETE FROM rule_schema WHERE route = ? AND slice = ? AND (seq, idx) > (?, ?)`

	taskEventColumns   = `at, task, route, rule, source, entity, object, record_key, was, status, reason, code, error, attempts`
	sqlAddTaskEvent    = `INSERT INTO task_event (` + taskEventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlTaskEvents      = `SELECT n, ` + taskEventColumns + ` FROM task_event WHERE n > ?`
	sqlTaskEventBounds = `SELECT COALESCE((SELECT min(n) FROM task_event), 0), COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'task_event'), 0)`
	sqlOldestTaskEvent = `SELECT n, at, (SELECT max(n) FROM task_event) FROM task_event ORDER BY n LIMIT 1`
	sqlTrimTaskEvents  = `DELETE FROM task_event WHERE n IN (SELECT n FROM task_event ORDER BY n LIMIT ?) AND (at < ? OR n <= ?)`

	sqlAddPause = `INSERT INTO pause (kind, name, reason, author, since) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (kind, name) DO UPDATE SET reason = excluded.reason, author = excluded.author`
	sqlRemovePause = `DELETE FROM pause WHERE kind = ? AND name = ?`
	gapColumns     = `source, route, reason, by, status, from_epoch, from_commit, from_ordinal, to_epoch, to_commit, from_seq, to_seq, attempts, next, error, created, updated`
	sqlAddGap      = `INSERT INTO gap (` + gapColumns + `, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlSetGap      = `UPDATE gap SET (` + gapColumns + `) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE id = ?`
	sqlGap         = `SELECT id, ` + gapColumns + ` FROM gap WHERE id = ?`
	sqlOpenGaps    = `SELECT id, ` + gapColumns + ` FROM gap WHERE status <> 'closed' ORDER BY n`
	sqlGapsSince   = `SELECT id, ` + gapColumns + ` FROM gap WHERE source = ? AND created >= ? ORDER BY n DESC`
	sqlTrimGaps    = `DELETE FROM gap WHERE status = 'closed' AND updated < ? AND n <> (SELECT max(n) FROM gap AS other WHERE other.source = gap.source)`

	sqlPauses = `SELECT kind, name, reason, author, since FROM pause ORDER BY kind, name`

	scheduleColumns = `id, signature, settled, next, queued, paused, pause_reason, paused_by, paused_since, run, owner, lease, missed, failures`
	sqlSchedules    = `SELECT ` + scheduleColumns + ` FROM schedule ORDER BY id`
	sqlSchedule     = `SELECT ` + scheduleColumns + ` FROM schedule WHERE id = ?`
	sqlSaveSchedule = `INSERT INTO schedule (` + scheduleColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET signature = excluded.signature, settled = excluded.settled, next = excluded.next, queued = excluded.queued,
		paused = excluded.paused, pause_reason = excluded.pause_reason, paused_by = excluded.paused_by, paused_since = excluded.paused_since,
		run = excluded.run, owner = excluded.owner, lease = excluded.lease, missed = excluded.missed, failures = excluded.failures`
	sqlForgetSchedule = `DELETE FROM schedule WHERE id = ?`

	scheduleRunColumns = `id, schedule, work, cause, author, reason, due, started, ended, status, missed, counts, note, code, error`
	sqlSaveScheduleRun = `INSERT INTO schedule_run (` + scheduleRunColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET started = excluded.started, ended = excluded.ended, status = excluded.status, missed = excluded.missed,
		counts = excluded.counts, note = excluded.note, code = excluded.code, error = excluded.error`
	sqlScheduleRun      = `SELECT n, ` + scheduleRunColumns + ` FROM schedule_run WHERE id = ?`
	sqlScheduleRuns     = `SELECT n, ` + scheduleRunColumns + ` FROM schedule_run WHERE schedule = ? ORDER BY n DESC LIMIT ?`
	sqlScheduleRunsPage = `SELECT n, ` + scheduleRunColumns + ` FROM schedule_run WHERE schedule = ? AND n < (SELECT n FROM schedule_run WHERE id = ?)
		ORDER BY n DESC LIMIT ?`
	sqlLastScheduleRuns = `SELECT n, ` + scheduleRunColumns + ` FROM schedule_run WHERE n IN (SELECT max(n) FROM schedule_run GROUP BY schedule) ORDER BY schedule`
	sqlTrimScheduleRuns = `DELETE FROM schedule_run WHERE n IN (SELECT n FROM (SELECT n, ended, status, EXISTS (SELECT 1 FROM schedule WHERE schedule.id = schedule_run.schedule) AS known,
		row_number() OVER (PARTITION BY schedule ORDER BY n DESC) AS nth FROM schedule_run) AS counted
		WHERE status <> 'running' AND ((nth > 1 OR NOT known) AND ended < ? OR nth > ?))`

	sqlKnowsLog = `SELECT 1 FROM source_log WHERE source = ? AND log = ?`
	sqlAddLog   = `INSERT INTO source_log (source, log) VALUES (?, ?) ON CONFLICT (source, log) DO NOTHING`

	sqlConfig     = `SELECT version, hash, files, applied, applied_by FROM config ORDER BY version DESC LIMIT 1`
	sqlSaveConfig = `INSERT INTO config (version, hash, files, applied, applied_by) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (version) DO NOTHING`
	sqlTrimConfigs = `DELETE FROM config WHERE version <= ?`

	runColumns = `id, source, kind, entity, keys, routes, reset, status, chunks, rows, error, created, updated, force, from_key, condition, rate, estimate,
		scanned, seq, held, cancelled, reason, by`
	sqlAddRun = `INSERT INTO run (` + runColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, '', '')
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = '', updated = excluded.updated WHERE run.status = 'failed'`
	sqlRun     = `SELECT ` + runColumns + ` FROM run WHERE id = ?`
	sqlOpenRun = `SELECT ` + runColumns + ` FROM run WHERE source = ? AND status IN ('requested', 'running') ORDER BY n`
	// Kinds 4 and 5 are polls and sweeps.
	worthListing = `NOT (status = 'done' AND (id LIKE '` + ReadRun + `%' OR kind IN (4, 5) AND id LIKE '` + ScheduledRun + `%'))`
	sqlTrimPolls = `DELETE FROM run WHERE kind IN (4, 5) AND status = 'done' AND updated < ?`
	sqlRuns      = `SELECT ` + runColumns + ` FROM run WHERE source = ? AND ` + worthListing + ` ORDER BY n DESC LIMIT ?`
	sqlAllRuns   = `SELECT ` + runColumns + ` FROM run WHERE ` + worthListing + ` ORDER BY n DESC LIMIT ?`
	sqlRunsPage  = `SELECT ` + runColumns + ` FROM run WHERE ` + worthListing + ` AND n < (SELECT n FROM run WHERE id = ?) ORDER BY n DESC LIMIT ?`
	sqlTrimRuns  = `DELETE FROM run WHERE source = ? AND status IN ('done', 'failed', 'cancelled') AND updated < ?`
	sqlSetRun    = `UPDATE run SET status = ?, chunks = ?, rows = ?, scanned = ?, seq = ?, error = ?, updated = ? WHERE id = ?`
	sqlSteerRun  = `UPDATE run SET held = ?, cancelled = ?, rate = ?, reason = ?, by = ?, updated = ? WHERE id = ? AND status IN ('requested', 'running')`

	verificationColumns  = `n, id, status, spec, progress, created, updated`
	sqlAddVerification   = `INSERT INTO verification (id, status, spec, progress, created, updated) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlSaveVerification  = `UPDATE verification SET status = ?, progress = ?, updated = ? WHERE id = ?`
	sqlVerification      = `SELECT ` + verificationColumns + ` FROM verification WHERE id = ?`
	sqlOpenVerifications = `SELECT ` + verificationColumns + ` FROM verification WHERE status = 'running' ORDER BY n`
	sqlVerifications     = `SELECT ` + verificationColumns + ` FROM verification WHERE (? = 0 OR n < ?) ORDER BY n DESC LIMIT ?`
	sqlSaveDifference    = `INSERT INTO difference (verification, rule, record_key, source_key, kind, fields, state) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (verification, rule, record_key) DO UPDATE SET source_key = excluded.source_key, kind = excluded.kind, fields = excluded.fields, state = excluded.state`
	sqlDifferences         = `SELECT n, rule, record_key, source_key, kind, fields, state FROM difference WHERE verification = ? AND n > ? ORDER BY n LIMIT ?`
	sqlRestartVerification = `UPDATE verification SET status = ?, spec = ?, progress = ?, updated = ? WHERE id = ?`
	sqlForgetDifferences   = `DELETE FROM difference WHERE verification = ?`
	sqlForgetDifferencesOf = `DELETE FROM difference WHERE verification = ? AND rule = ?`
	sqlVerified            = `SELECT rule, verification, records, differences, unsettled, at FROM verified`
	sqlSetVerified         = `INSERT INTO verified (rule, verification, records, differences, unsettled, at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (rule) DO UPDATE SET verification = excluded.verification, records = excluded.records, differences = excluded.differences,
		unsettled = excluded.unsettled, at = excluded.at`
	sqlTrimDifferences   = `DELETE FROM difference WHERE verification IN (SELECT id FROM verification WHERE status <> 'running' AND updated < ?)`
	sqlTrimVerifications = `DELETE FROM verification WHERE status <> 'running' AND updated < ?`

	sqlSeenIDs = `SELECT id, hash FROM event_id WHERE source = ? AND id IN (`
	sqlSaveID  = `INSERT INTO event_id (source, id, seq, hash) VALUES (?, ?, ?, ?)
		ON CONFLICT (source, id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash`
	sqlTrimIDs = `DELETE FROM event_id WHERE source = ? AND id IN
		(SELECT id FROM event_id WHERE source = ? AND seq < ? LIMIT ?)`

	conflictColumns = `n, task, route, slice, rule, source, entity, object, record_key, detector, business, fields, base, ours, theirs, result,
		strategy, action, note, held, open, choice, by, reason, created, updated`
	sqlConflict = `INSERT INTO conflict (task, route, slice, rule, source, entity, object, record_key, detector, business, fields, base, ours, theirs,
		result, strategy, action, note, held, open, choice, by, reason, created, updated)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (task) DO UPDATE SET route = excluded.route, slice = excluded.slice, detector = CASE excluded.detector WHEN '' THEN conflict.detector
		ELSE excluded.detector END, business = CASE excluded.detector WHEN '' THEN conflict.business ELSE excluded.business END, fields = excluded.fields, base = excluded.base, ours = excluded.ours,
		theirs = excluded.theirs, result = excluded.result, strategy = excluded.strategy, action = excluded.action, note = excluded.note,
		held = excluded.held, open = excluded.open, choice = excluded.choice, by = excluded.by, reason = excluded.reason, updated = excluded.updated`
	sqlCloseConflict = `UPDATE conflict SET open = false, choice = '', action = CASE WHEN open THEN ? ELSE action END, updated = ? WHERE task = ? AND open`
	sqlConflicts     = `SELECT ` + conflictColumns + ` FROM conflict WHERE n > ?`
	sqlOpenConflicts = `SELECT rule, count(*) FROM conflict WHERE open GROUP BY rule`
	sqlConflictOf    = `SELECT ` + conflictColumns + ` FROM conflict WHERE task = ?`
	sqlChoose        = `UPDATE conflict SET choice = ? WHERE task = ? AND open`
	sqlChoices       = `SELECT task, choice FROM conflict WHERE route = ? AND slice = ? AND choice <> ''`
	sqlTrimConflicts = `DELETE FROM conflict WHERE n IN (SELECT n FROM conflict WHERE NOT open
		AND (updated < ? OR n <= (SELECT max(n) FROM conflict) - ?) ORDER BY n LIMIT ?)`

	tokenColumns = `n, id, name, role, systems, hash, created, creator, expires, revoked`
	sqlAddToken  = `INSERT INTO token (id, name, role, systems, hash, created, creator, expires, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`
	sqlToken        = `SELECT ` + tokenColumns + ` FROM token WHERE id = ?`
	sqlTokens       = `SELECT ` + tokenColumns + ` FROM token WHERE n > ? ORDER BY n LIMIT ?`
	sqlTokensNamed  = `SELECT ` + tokenColumns + ` FROM token WHERE name = ?`
	sqlTokensCalled = `SELECT ` + tokenColumns + ` FROM token WHERE id = ? OR name = ? ORDER BY n`
	sqlRevokeToken  = `UPDATE token SET revoked = ? WHERE id = ? AND revoked = 0`
	sqlHasTokens    = `SELECT EXISTS (SELECT 1 FROM token),
		EXISTS (SELECT 1 FROM token WHERE revoked = 0 AND (expires = 0 OR expires > ?))`

	sqlAddCall = `INSERT INTO audit (id, at, who, token, role, address, operation, details, reason)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM audit WHERE id = ?)`
	sqlEndCall = `INSERT INTO audit_result (n, ended, status, code) SELECT n, ?, ?, ? FROM audit WHERE id = ?
		AND NOT EXISTS (SELECT 1 FROM audit_result WHERE audit_result.n = audit.n)`
	sqlAddHealth  = `INSERT INTO health (at, level, summary) VALUES (?, ?, ?)`
	sqlTrimHealth = `DELETE FROM health WHERE at < ? OR n <= (SELECT max(n) FROM health) - ?`
	sqlHealth     = `SELECT n, at, level, summary FROM health WHERE (? = 0 OR n < ?) ORDER BY n DESC LIMIT ?`

	sqlCountWaiting = `SELECT route, slice, rule, status, class, code, count(*) FROM task WHERE pending = 1
		GROUP BY route, slice, rule, status, class, code ORDER BY route, slice, rule, status, class, code`
	sqlCountKeys = `SELECT route, slice, count(*) FROM (SELECT DISTINCT route, slice, rule, record_key FROM task WHERE pending = 1) AS parked
		GROUP BY route, slice`

	sqlCalls = `SELECT audit.n, id, at, who, token, role, address, operation, details, reason,
		COALESCE(ended, 0), COALESCE(status, 0), COALESCE(code, '') FROM audit LEFT JOIN audit_result ON audit_result.n = audit.n WHERE true`
	sqlCallsEnd    = ` ORDER BY audit.n DESC LIMIT ?`
	sqlKeepCalls   = `UPDATE audit_kept SET below = ? WHERE below < ?`
	sqlTrimResults = `DELETE FROM audit_result WHERE n IN (SELECT n FROM audit WHERE at < ? ORDER BY n LIMIT ?)`
	sqlTrimCalls   = `DELETE FROM audit WHERE n IN (SELECT n FROM audit WHERE at < ? ORDER BY n LIMIT ?)`
)

const (
	ofEntity      = `(SELECT id FROM poll_entity WHERE source = ? AND entity = ?)`
	sqlNoted      = `SELECT coalesce(max(noted), 0), coalesce(max(settled), 0) FROM poll_entity WHERE source = ?`
	sqlNotePolled = `INSERT INTO poll_entity (source, entity, noted, settled) VALUES (?, ?, ?, 0) ON CONFLICT (source, entity) DO UPDATE SET noted = max(noted, excluded.noted)`
	sqlNote       = `INSERT INTO poll_note (entity, position, key, hash, state) VALUES (` + ofEntity + `, ?, ?, ?, ?)
		ON CONFLICT (entity, position, key) DO UPDATE SET hash = excluded.hash, state = excluded.state`
	sqlNotedEntities = `SELECT id FROM poll_entity e WHERE source = ? AND EXISTS (SELECT 1 FROM poll_note n WHERE n.entity = e.id AND n.position <= ?)`
	settlePart       = `(SELECT key, hash, state, position FROM poll_note WHERE entity = ?1 AND position <= ?2 ORDER BY position, key LIMIT ?3)`
	// A key can be noted at several positions: the last one counts, and rows are taken in their order.
	sqlSettleSeen = `INSERT INTO poll_seen (entity, key, hash, state) SELECT ?1, key, hash, state FROM ` + settlePart + ` WHERE true
		ON CONFLICT (entity, key) DO UPDATE SET hash = excluded.hash, state = excluded.state`
	sqlSettleGone = `DELETE FROM poll_seen WHERE entity = ?1 AND state = 2 AND key IN (SELECT key FROM ` + settlePart + `)`
	sqlSettledAt  = `UPDATE poll_entity SET settled = max(settled, min(noted, ?2)) WHERE id = ?1 AND ?3 > 0`
	sqlSettled    = `DELETE FROM poll_note WHERE entity = ?1 AND (position, key) IN (SELECT position, key FROM ` + settlePart + `)`

	sqlDiscardNotes = `DELETE FROM poll_note WHERE position > ? AND entity IN (SELECT id FROM poll_entity WHERE source = ?)`
	sqlDiscardNoted = `UPDATE poll_entity SET noted = min(noted, ?) WHERE source = ?`
	sqlKnownSeen    = `SELECT key, hash, state FROM poll_seen WHERE entity = ` + ofEntity + ` AND key IN (`
	sqlKnownNoted   = `SELECT key, hash, state FROM poll_note WHERE entity = ` + ofEntity + ` AND key IN (`
	sqlSeenAfter    = `SELECT key, hash, state FROM poll_seen WHERE entity = ` + ofEntity + ` AND (? OR key > ?) ORDER BY key LIMIT ?`
	sqlForgetNotes  = `DELETE FROM poll_note WHERE (entity, position, key) IN (SELECT entity, position, key FROM poll_note WHERE entity = ` + ofEntity + ` LIMIT ?)`
	sqlForgetSeen   = `DELETE FROM poll_seen WHERE (entity, key) IN (SELECT entity, key FROM poll_seen WHERE entity = ` + ofEntity + ` LIMIT ?)`
)
