#!/bin/sh
# DEBEZIUM is the folder of Debezium Server, JAVA_HOME that of a JDK, 21 or later.
set -eu
case $1 in
prepare)
	mkdir -p config data
	cp "$(dirname "$0")/debezium.properties" config/application.properties
	;;
run)
	exec "$JAVA_HOME/bin/java" ${JAVA_OPTS:-} -cp "$(ls "$DEBEZIUM"/debezium-server-*runner.jar):$DEBEZIUM/lib/*" io.debezium.server.Main
	;;
esac
