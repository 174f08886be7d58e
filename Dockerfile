FROM rust:1.95-slim-bookworm AS builder

# The packages that librdkafka's build needs; rust:slim has a C compiler. The versions aren't pinned,
# because Debian's mirrors don't keep old ones.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes g++ libssl-dev make pkg-config \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /build
COPY . .
# The cache mounts keep compiled dependencies for the next build.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --bin kafka-mongo-consumer \
    && cp target/release/kafka-mongo-consumer /usr/local/bin/


FROM debian:bookworm-slim

# ca-certificates is for Kafka over TLS; MongoDB's driver has its own certificates.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/*

COPY --from=builder /usr/local/bin/kafka-mongo-consumer /usr/local/bin/
COPY config.json /etc/kafka-mongo-consumer/config.json

ENV CONSUMER_CONFIG=/etc/kafka-mongo-consumer/config.json

# A numeric user, so that Kubernetes can verify that it isn't root.
USER 10001:10001
EXPOSE 8001
STOPSIGNAL SIGTERM

# The image has no HTTP client, so the shell sends the request. If metrics are disabled, disable this
# health check too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/${CONSUMER__METRICS__PORT:-8001}\" && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [[ $status == 200 ]]"]

# The worker is process 1, so it receives SIGTERM directly.
ENTRYPOINT ["/usr/local/bin/kafka-mongo-consumer"]
CMD ["run"]
