#!/bin/sh
# PGSTREAM is the program. It decodes with wal2json, so that it needs a slot of its own.
set -eu
export PGSTREAM_POSTGRES_LISTENER_URL="$SOURCE_URL"
export PGSTREAM_POSTGRES_REPLICATION_SLOT_NAME="$SLOT"
export PGSTREAM_POSTGRES_WRITER_TARGET_URL="$TARGET_URL"
export PGSTREAM_POSTGRES_WRITER_BATCH_TIMEOUT=100ms
export PGSTREAM_POSTGRES_WRITER_ON_CONFLICT_ACTION=update
export PGSTREAM_POSTGRES_WRITER_STRICT_MODE=true
export PGSTREAM_POSTGRES_WRITER_IGNORE_DDL=true
export PGSTREAM_FILTER_INCLUDE_TABLES=account
case $1 in
prepare)
	psql "$SOURCE_URL" -qXAtc "SELECT pg_drop_replication_slot('$SLOT')"
	exec "$PGSTREAM" init
	;;
run)
	exec "$PGSTREAM" run --log-level warn
	;;
esac
