// Finds the bytes of a file: a resource of the server up to 8 MB, or else its link. Otherwise there is a still and a path.
const MOST_READ = 8 * 2 ** 20;
const SHOWN = {
  image: /^image\/(png|jpeg|webp|gif|avif)$/,
  video: /^video\/(mp4|webm|quicktime)$/,
  audio: /^audio\/[a-z0-9.+-]{1,40}$/,
};
const ORIGINS = document.querySelector("meta[name=media-origins]").content.split(" ").filter(Boolean);

/** Whether a link has not expired yet. */
function alive(artifact) {
  return typeof artifact.url === "string" && (!artifact.expires_at || Date.parse(artifact.expires_at) > Date.now());
}

/** Whether this page's policy allows a link: its host must be among the hosts in the setting. */
function allowed(link) {
  if (!URL.canParse(link)) return false;
  const { protocol, host } = new URL(link);
  return ORIGINS.some((origin) => {
    const [scheme, name] = origin.split("://");
    if (protocol !== `${scheme}:`) return false;
    return name.startsWith("*.") ? host.endsWith(name.slice(1)) : host === name;
  });
}

/** The file as a data: URI; null if the server does not give it. */
async function bytesOf(artifact) {
  const uri = `novita://artifacts/${encodeURIComponent(artifact.task_id)}/${artifact.index}`;
  const { contents = [] } = await host.ask("resources/read", { uri });
  const [{ blob, mimeType } = {}] = contents;
  if (typeof blob !== "string" || !SHOWN[artifact.kind]?.test(mimeType ?? "")) return null;
  return `data:${mimeType};base64,${blob}`;
}

/** An address that an <img>, <video> or <audio> can show; null if there is none. */
async function sourceOf(artifact) {
  const link = alive(artifact) && allowed(artifact.url) ? artifact.url : null;
  const small = artifact.bytes === undefined ? link === null : artifact.bytes <= MOST_READ;
  if (!small || !artifact.task_id) return link;
  try {
    return (await bytesOf(artifact)) ?? link;
  } catch {
    return link; // The server no longer has the file, or the host cannot read resources.
  }
}

/** The base64 part of a data: URI, or null. */
function base64Of(source) {
  return source?.startsWith("data:") ? source.slice(source.indexOf(",") + 1) : null;
}
