package main

import (
	"context"
	"fmt"
)

// makeTable makes the side's table, and the trigger that looks at every write of it.
func (s *side) makeTable(ctx context.Context) error {
	return s.db.exec(ctx, `CREATE TABLE pair (k int PRIMARY KEY, ver bigint NOT NULL, val text NOT NULL, changed timestamptz NOT NULL,
			east_ver bigint, east_val text, west_ver bigint, west_val text, n bigint NOT NULL DEFAULT 0`+kindColumns(true)+`)`,
		`CREATE TABLE trail (tx bigint NOT NULL, note text)`,
		// story is all that ever happened to a record, and who did it.
		`CREATE TABLE story (id bigserial PRIMARY KEY, users boolean NOT NULL, op text NOT NULL, k int NOT NULL, ver bigint NOT NULL, east_ver bigint, west_ver bigint)`,
		`CREATE INDEX ON story (k, ver)`,
		`CREATE TABLE wrong (at timestamptz DEFAULT clock_timestamp(), key text, what text)`,
		fmt.Sprintf(sideTeller, s.w.plan.Seed, sideUser, s.number*ownKeys, (s.number+1)*ownKeys, 2*ownKeys, contestedFrom, contestedFrom+contestedKeys, sharedFrom),
		`CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON pair FOR EACH ROW EXECUTE FUNCTION tell()`,
		`ALTER TABLE pair ENABLE ALWAYS TRIGGER tell`)
}

// sideTeller looks at what the program writes, and takes down everything. Of a key that one side alone writes, or that nobody deletes, an older
// version than one that was there before is wrong, and so is the same one: it was written to nobody's use.
const sideTeller = `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r pair; last bigint; by_users boolean := current_setting('application_name') = '%[2]s';
BEGIN
	r := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
	IF NOT by_users THEN
		IF r.k >= %[3]d AND r.k < %[4]d THEN
			INSERT INTO wrong (key, what) VALUES (r.k, TG_OP || ' of version ' || r.ver || ' at home, where only its users write it');
		END IF;
		IF TG_OP = 'DELETE' AND (r.k >= %[6]d AND r.k < %[7]d OR r.k >= %[8]d) THEN
			INSERT INTO wrong (key, what) VALUES (r.k, 'version ' || r.ver || ' was deleted, which nobody did');
		END IF;
		IF TG_OP <> 'DELETE' AND (r.k < %[5]d OR r.k >= %[6]d AND r.k < %[7]d) THEN
			SELECT max(ver) INTO last FROM story WHERE k = r.k;
			IF last >= r.ver THEN
				INSERT INTO wrong (key, what) VALUES (r.k, format('%%s of version %%s after %%s: it was %%s and is %%s', TG_OP, r.ver, last, CASE WHEN TG_OP = 'UPDATE' THEN OLD::text END, NEW::text));
			END IF;
		END IF;
	END IF;
	IF TG_OP = 'UPDATE' AND r.k >= %[8]d AND (NEW.east_ver < OLD.east_ver OR NEW.west_ver < OLD.west_ver) THEN
		INSERT INTO wrong (key, what) VALUES (r.k, format('the versions of its halves went from %%s, %%s to %%s, %%s', OLD.east_ver, OLD.west_ver, NEW.east_ver, NEW.west_ver));
	END IF;
	IF r.val IS DISTINCT FROM md5(format('%[1]d:pair:%%s:%%s', r.k, r.ver)) OR r.changed IS DISTINCT FROM timestamptz '2024-01-01 00:00:00+00' + r.ver * interval '1 microsecond'
		OR r.east_val IS DISTINCT FROM md5(format('%[1]d:east:%%s:%%s', r.k, r.east_ver)) AND r.east_ver IS NOT NULL
		OR r.west_val IS DISTINCT FROM md5(format('%[1]d:west:%%s:%%s', r.k, r.west_ver)) AND r.west_ver IS NOT NULL THEN
		INSERT INTO wrong (key, what) VALUES (r.k, 'version ' || r.ver || ' has the value of another record or version');
	END IF;
	INSERT INTO story (users, op, k, ver, east_ver, west_ver) VALUES (by_users, TG_OP, r.k, r.ver, r.east_ver, r.west_ver);
	RETURN NULL;
END $$`
