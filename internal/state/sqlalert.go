package state

// The statements of alerts.
const (
	sqlAlerts      = `SELECT id, instance FROM alert`
	sqlSaveAlert   = `INSERT INTO alert (id, instance) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET instance = excluded.instance`
	sqlForgetAlert = `DELETE FROM alert WHERE id = ?`

	sqlAddMessage = `INSERT INTO alert_message (id, at, rule, what, message) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlDeliver    = `INSERT INTO alert_delivery (message, channel, status, attempts, next_try, code, error, updated)
		SELECT n, ?, 'waiting', 0, 0, '', '', ? FROM alert_message WHERE id = ? ON CONFLICT (message, channel) DO NOTHING`
	// The newest of a channel wait; what is older is given up.
	sqlGiveUpOldest = `UPDATE alert_delivery SET status = 'failed', code = ?, error = ?, updated = ?
		WHERE status = 'waiting' AND channel = ? AND message <= (SELECT message FROM alert_delivery WHERE status = 'waiting' AND channel = ?
		ORDER BY message DESC LIMIT 1 OFFSET ?)`
	deliveryColumns = `message, channel, status, attempts, next_try, code, error, updated`
	sqlUndelivered  = `SELECT d.message, channel, status, attempts, next_try, code, error, updated, m.message
		FROM alert_delivery AS d JOIN alert_message AS m ON m.n = d.message WHERE status = 'waiting' AND channel = ? ORDER BY d.message LIMIT ?`
	sqlUndeliveredOf = `SELECT channel, count(*) FROM alert_delivery WHERE status = 'waiting' GROUP BY channel`
	sqlEndDelivery   = `UPDATE alert_delivery SET status = ?, attempts = ?, next_try = ?, code = ?, error = ?, updated = ?
		WHERE message = ? AND channel = ? AND status = 'waiting'`
	sqlMessages      = `SELECT n, message FROM alert_message WHERE true`
	sqlDeliveries    = `SELECT ` + deliveryColumns + ` FROM alert_delivery WHERE message BETWEEN ? AND ? ORDER BY message, channel`
	sqlTrimMessages  = `DELETE FROM alert_message WHERE at < ? OR n <= (SELECT max(n) FROM alert_message) - ?`
	sqlTrimDelivered = `DELETE FROM alert_delivery WHERE message NOT IN (SELECT n FROM alert_message)`

	silenceColumns  = `n, id, rule, labels, reason, author, since, until`
	sqlAddSilence   = `INSERT INTO alert_silence (id, rule, labels, reason, author, since, until) VALUES (?, ?, ?, ?, ?, ?, ?)`
	sqlSilences     = `SELECT ` + silenceColumns + ` FROM alert_silence WHERE until > ? ORDER BY n`
	sqlEndSilence   = `UPDATE alert_silence SET until = ? WHERE id = ? AND until > ?`
	sqlTrimSilences = `DELETE FROM alert_silence WHERE until < ?`
)
