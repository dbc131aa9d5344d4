# One file, two images: `--target engine` (FE, BE and CN) and `--target operator`
# (operator and scaler). Programs are compiled here, from the sources, so that an
# image never depends on what lay about on somebody's machine.
FROM docker.io/library/debian:bookworm-slim AS build
WORKDIR /src
COPY e2e/tools/packages.build e2e/tools/
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(cat e2e/tools/packages.build) && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# third_party is taken from the host when `make third_party` has fetched it; the
# pattern matches nothing on a fresh clone, and then the build fetches it.
COPY Makefile build/third_part[y] third_party/
COPY e2e/tools e2e/tools
COPY lib lib
COPY engine engine
COPY operator operator
COPY scaler scaler
COPY crds crds
# The object files live in a cache of the builder: a second image build compiles
# only what changed.
# FRESH with any value compiles everything (e2e/cluster/double-build).
ARG FRESH=
RUN --mount=type=cache,id=roost-obj,target=/src/build/obj engine/image/compile.sh $FRESH

FROM docker.io/library/debian:bookworm-slim AS engine
COPY e2e/tools/packages.run /tmp/
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        $(cat /tmp/packages.run) bash default-mysql-client procps hostname netcat-openbsd && \
    rm -rf /tmp/packages.run /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log && \
    groupadd -g 1000 starrocks && useradd -u 1000 -g 1000 -d /opt/starrocks -M -s /bin/bash starrocks
COPY engine/image/common.sh engine/image/fe_entrypoint.sh engine/image/worker_entrypoint.sh \
     engine/image/start_fe.sh engine/image/start_worker.sh engine/image/stop.sh /opt/starrocks/scripts/
COPY --from=build /out/roost-fe /out/roost-be /out/roost-duck /opt/starrocks/lib/
COPY --from=build /out/duckdb/ /opt/starrocks/lib/
COPY engine/image/fe.conf /opt/starrocks/fe/conf/
COPY engine/image/be.conf /opt/starrocks/be/conf/
COPY engine/image/cn.conf /opt/starrocks/cn/conf/
RUN cd /opt/starrocks && \
    ln -s scripts/fe_entrypoint.sh fe_entrypoint.sh && \
    for p in be cn; do ln -s scripts/worker_entrypoint.sh ${p}_entrypoint.sh; done && \
    for p in fe be cn; do \
        mkdir -p $p/bin $p/log && ln -s ../lib $p/lib && ln -s ../../scripts/stop.sh $p/bin/stop_$p.sh || exit 1; \
    done && \
    ln -s ../../scripts/start_fe.sh fe/bin/start_fe.sh && \
    for p in be cn; do ln -s ../../scripts/start_worker.sh $p/bin/start_$p.sh; done && \
    mkdir -p fe/meta be/storage cn/storage && \
    chown -R 1000:1000 fe/meta be/storage cn/storage fe/log be/log cn/log fe/conf be/conf cn/conf
ENV STARROCKS_ROOT=/opt/starrocks
WORKDIR /opt/starrocks
USER 1000:1000

# The operator's root file system: our programs, what they load, the CA bundle.
FROM build AS operator-root
# /sroperator is what the Deployment of upstream's manifest and chart starts.
RUN engine/image/collect_root.sh /root-fs /out/roost-operator /out/roost-scaler && \
    ln -s usr/bin/roost-operator /root-fs/sroperator

FROM scratch AS operator
COPY --from=operator-root /root-fs/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/roost-operator"]
