# Borderpost in a container: built in one stage, run in another without compilers or pip, by a user without rights.
# The root file system may be read-only; only the volume at /var/lib/borderpost is written to.
#
# The same sources and the same base give the same layers: every package is taken by its hash, and nothing in them
# depends on when or where they were built. docs/guide/image.md says how to build, sign and check it.

ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG SOURCE_DATE_EPOCH=1767225600
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONHASHSEED=0
WORKDIR /src
COPY . .
# The wheel is made in an environment of its own, so that no build tool is left in the image.
RUN python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --require-hashes --requirement image/build-requirements.txt \
 && /opt/build/bin/python -m hatchling build -t wheel -d /opt/wheel
RUN python -m venv --without-pip /opt/borderpost \
 && /opt/build/bin/python -m pip --python /opt/borderpost/bin/python install --no-compile --only-binary :all: \
        --require-hashes --requirement image/requirements.txt \
 && /opt/build/bin/python -m pip --python /opt/borderpost/bin/python install --no-compile --no-deps --no-index \
        /opt/wheel/*.whl
# Byte code that is not bound to the time of its source, the list of what is in the image, and one time for all files.
# Byte code is the same each time from Python 3.12 on: before, the order of constants depends on where None lies.
RUN /opt/borderpost/bin/python -m compileall -f -q -j 1 --invalidation-mode unchecked-hash /opt/borderpost/lib \
 && /opt/build/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
        --output-file /opt/borderpost/sbom.cdx.json /opt/borderpost/bin/python \
 && find /opt/borderpost -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="Borderpost" \
      org.opencontainers.image.description="A border post for AI inference traffic" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/borderpost /opt/borderpost
ENV PATH="/opt/borderpost/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    BORDERPOST_CONFIG=/etc/borderpost/borderpost.yaml
RUN install --directory --owner=65532 --group=65532 --mode=0750 /var/lib/borderpost
WORKDIR /var/lib/borderpost
VOLUME ["/var/lib/borderpost"]
USER 65532:65532
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["borderpost", "ready", "--live"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["borderpost"]
CMD ["serve"]
