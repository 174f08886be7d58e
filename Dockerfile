# The worker's image: one program, the libraries it needs, and certificates. It has no shell and no package manager.
#
#   docker build --tag kafka-mongo-consumer .
#   docker build --target debug --tag kafka-mongo-consumer:debug .             the same, with lines in backtraces
#   docker build --target load-generator --tag kafka-mongo-load-generator .    fills a topic, for tests
#
# `scripts/check-image` runs these very instructions without a container engine, and starts what they make.
FROM rust:1.95.0-slim-bookworm AS dependencies

# What librdkafka's build needs; rust:slim has a C compiler. ca-certificates is for the image. The versions aren't
# pinned, because Debian's mirrors don't keep old ones.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes binutils ca-certificates cmake g++ libssl-dev libssl3 make pkg-config \
    && rm -rf /var/lib/apt/lists/*

# The dependencies are a layer of their own, with empty programs in place of ours. It is built again only when a manifest
# or Cargo.lock changes.
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .cargo/ .cargo/
COPY tools/bare-loop/Cargo.toml tools/bare-loop/
COPY tools/bench/Cargo.toml tools/bench/
COPY tools/load-generator/Cargo.toml tools/load-generator/
RUN mkdir -p benches src tools/bare-loop/src tools/bench/src tools/load-generator/src \
    && touch src/lib.rs \
    && for main in src benches tools/bare-loop/src tools/bench/src tools/load-generator/src; do \
        echo 'fn main() {}' >"$main/main.rs"; \
    done \
    && cp benches/main.rs benches/transcoder.rs \
    && cp benches/main.rs benches/tracker.rs \
    && cargo build --locked --release --bins --package kafka-mongo-consumer --package load-generator


FROM dependencies AS worker-build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY src/ src/
# COPY keeps the files' times, which may be older than the empty programs that cargo has built.
# The lines of the source for backtraces are most of the program's size, so they go into a file of their own; names of
# functions stay. The program
# finds it by its build id, if it is there.
RUN touch src/lib.rs src/main.rs \
    && cargo build --locked --release --package kafka-mongo-consumer --bins \
    && mkdir -p /out/usr/local/bin \
    && cp target/release/kafka-mongo-consumer /out/usr/local/bin/ \
    && id=$(readelf --notes /out/usr/local/bin/kafka-mongo-consumer | sed -n 's/.*Build ID: //p') \
    && symbols=/symbols/usr/lib/debug/.build-id/$(echo "$id" | cut -c 1-2) \
    && mkdir -p "$symbols" \
    && objcopy --only-keep-debug /out/usr/local/bin/kafka-mongo-consumer "$symbols/$(echo "$id" | cut -c 3-).debug" \
    && strip --strip-debug /out/usr/local/bin/kafka-mongo-consumer


FROM dependencies AS load-generator-build
COPY tools/load-generator/src/ tools/load-generator/src/
RUN touch tools/load-generator/src/main.rs \
    && cargo build --locked --release --bins --package kafka-mongo-consumer --package load-generator \
    && mkdir -p /out/usr/local/bin \
    && strip --strip-all -o /out/usr/local/bin/load-generator target/release/load-generator


# The files of the system that the programs need: the libraries that they link to, and the certificates of public
# authorities. (MongoDB's driver has its own.) The packages that these files are from are listed in the place where
# scanners for vulnerabilities look for them.
FROM worker-build AS system
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN mkdir -p /system/etc/ssl/certs /system/usr/lib/ssl /system/var/lib/dpkg/status.d \
    && cp /etc/ssl/certs/ca-certificates.crt /system/etc/ssl/certs/ \
    && ln -s /etc/ssl/certs/ca-certificates.crt /system/usr/lib/ssl/cert.pem \
    && ldd /out/usr/local/bin/kafka-mongo-consumer | grep -o '/[^ ]*' | sort -u >/tmp/libraries \
    && while read -r library; do \
        install -D --mode=0755 "$library" "/system$library"; \
        real=$(readlink -f "$library"); \
        { dpkg-query --search "$real" "${real#/usr}" 2>/dev/null || true; } | cut -d : -f 1 >>/tmp/packages; \
    done </tmp/libraries \
    && echo ca-certificates >>/tmp/packages \
    && sort -u /tmp/packages | while read -r package; do \
        dpkg-query --status "$package" >"/system/var/lib/dpkg/status.d/$package"; \
    done \
    && cp --dereference /etc/os-release /system/etc/os-release \
    && echo 'hosts: files dns' >/system/etc/nsswitch.conf \
    && echo 'consumer:x:10001:10001::/nonexistent:/usr/sbin/nologin' >/system/etc/passwd \
    && echo 'consumer:x:10001:' >/system/etc/group


FROM scratch AS load-generator
COPY --from=system /system/ /
COPY --from=load-generator-build /out/ /
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/load-generator"]


FROM scratch AS worker
COPY --from=system /system/ /
COPY --from=worker-build /out/ /
COPY config.json /etc/kafka-mongo-consumer/config.json

# The path is for `docker exec` and `kubectl exec`.
ENV CONSUMER_CONFIG=/etc/kafka-mongo-consumer/config.json \
    PATH=/usr/local/bin

# A numeric user, so that Kubernetes can verify that it isn't root. It owns nothing: the program writes no file.
USER 10001:10001
EXPOSE 8001
STOPSIGNAL SIGTERM

# `health` reads the port from the configuration. If metrics are disabled, disable this health check too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/kafka-mongo-consumer", "health"]

# The worker is process 1, so it receives SIGTERM directly.
ENTRYPOINT ["/usr/local/bin/kafka-mongo-consumer"]
CMD ["run"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kafka-mongo-consumer" \
    org.opencontainers.image.description="Stores the JSON messages of a Kafka topic in MongoDB" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"


FROM worker AS debug
COPY --from=worker-build /symbols/ /


# The last stage is what a build without --target makes.
FROM worker
