# Build: docker build -t novita-mcp .
# One host over stdio:  docker run -i --rm --user "$(id -u)" -e NOVITA_API_KEY -v novita-mcp:/data \
#                         -v "$HOME/Downloads/novita:/data/out" novita-mcp
# Many callers:         docker run -p 8000:8000 -e NOVITA_MCP_ALLOWED_HOSTS=mcp.example.com novita-mcp serve --http --host 0.0.0.0

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY server server
COPY tools tools
COPY novita novita
COPY simulator simulator
COPY skills skills
# Compile the bytecode in the image, so that the first start is fast.
RUN python -m venv /app && /app/bin/pip install --no-cache-dir --compile '.[team]'

FROM python:3.13-slim
LABEL io.modelcontextprotocol.server.name="io.github.novita-mcp/novita-mcp"
# Any user may write to /data, so that with `--user` the files in a mounted folder belong to the user on the host.
RUN useradd --create-home --uid 10001 novita && mkdir -p /data/out && chmod -R 1777 /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NOVITA_MCP_OUTPUT_DIR=/data/out \
    NOVITA_MCP_JOURNAL=/data/journal.sqlite3
# A number rather than a name, because an orchestrator can then see that it is not root.
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Over stdio there is no port to ask, and the check always succeeds. -P keeps Python from importing libraries from /data.
HEALTHCHECK --interval=30s --timeout=5s CMD ["/app/bin/python", "-P", "-m", "novita_mcp.server.health"]
ENTRYPOINT ["novita-mcp"]
