#!/bin/sh
# CONDUIT is the program.
set -eu
case $1 in
prepare)
	mkdir -p pipelines
	cp "$(dirname "$0")/conduit.yaml" pipelines/
	;;
run)
	exec "$CONDUIT" run --api.enabled=false --log.level warn
	;;
esac
