// As common.py, for clients in JavaScript.
export const asked = JSON.parse(process.argv[2]);
const PICTURE = /\/9j\/|iVBORw0KGgo|UklGR/;
const OPTIONAL = ["model", "count", "size", "aspect_ratio", "seed", "format", "options", "save_to", "wait_seconds", "confirm"];

async function saidBy(call, name, args) {
  try {
    return JSON.stringify(await call(name, args));
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

// How many tools have schemas that the SDK's own validator takes; it throws at one that it does not.
export function portable(tools, validator) {
  for (const tool of tools) [tool.inputSchema, tool.outputSchema].forEach((schema) => validator.getValidator(schema));
  return tools.length;
}

export async function play(names, converted, call) {
  const picture = await saidBy(call, "generate_image", { prompt: "a red fox in the snow" });
  const started = await saidBy(call, "generate_video", { prompt: "a fox runs", wait_seconds: 0, confirm: true });
  const task = /task_id\\?['"]?: \\?['"]?([\w.-]+)/.exec(started);
  const finished = await saidBy(call, "get_task", { task_id: task ? task[1] : "none", wait_seconds: 40 });
  const error = await saidBy(call, "generate_image", { prompt: "a fox", model: "no-such-model" });
  const nothing = Object.fromEntries(OPTIONAL.map((name) => [name, null]));
  const nulls = await saidBy(call, "generate_image", { prompt: "a fox", ...nothing, dry_run: true });
  const short = (text) => text.slice(0, 1500);
  console.log("\n" + JSON.stringify({
    tools: names, converted, picture: PICTURE.test(picture),
    started: short(started), finished: short(finished), error: short(error), nulls: short(nulls),
  }));
}
