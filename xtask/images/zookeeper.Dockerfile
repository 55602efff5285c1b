FROM tooz-test/base:bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends default-jre-headless libzookeeper-java \
 && rm -rf /var/lib/apt/lists/*
COPY zkServer.sh /usr/local/bin/zkServer.sh
