#!/bin/sh
# The command line of the stock image: `zkServer.sh start-foreground` with /conf/zoo.cfg.
exec java ${SERVER_JVMFLAGS} -cp "/conf:/usr/share/java/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "${2:-/conf/zoo.cfg}"
