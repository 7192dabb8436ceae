# Borderpost in a container: built in one stage, run in another without compilers, by a user without rights.
# The root file system may be read-only; only the volume at /var/lib/borderpost is written to.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_CONSTRAINT=/src/constraints.txt \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY . .
# The wheel is made in an environment of its own, so that no build tool is left in the image.
RUN python -m venv /opt/build \
 && /opt/build/bin/python -m pip install hatchling \
 && /opt/build/bin/python -m hatchling build -t wheel -d /opt/wheel \
 && python -m venv /opt/borderpost \
 && /opt/borderpost/bin/python -m pip install /opt/wheel/*.whl

FROM python:${PYTHON}-slim
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
