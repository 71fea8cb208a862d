// Novita's JavaScript client for sandboxes, against the simulator: everything but the interpreter, whose address it
// makes of a domain by itself. Prints one JSON object of what it saw.
import { Sandbox } from "novita-sandbox";

const seen = {};
const sandbox = await Sandbox.create("base", { timeoutMs: 60_000, metadata: { who: "javascript" } });
seen.id = sandbox.sandboxId;
await sandbox.files.write("data/one.csv", "a,b\n1,2\n");
seen.read = await sandbox.files.read("data/one.csv");
seen.listed = (await sandbox.files.list("data")).map((entry) => entry.name);
const ran = await sandbox.commands.run("echo hello; cat data/one.csv");
seen.command = [ran.exitCode, ran.stdout];
try {
  await sandbox.commands.run("cat none; exit 3");
} catch (error) {
  seen.failed = [error.exitCode, error.stderr];
}
await sandbox.setTimeout(120_000);
seen.info = (await sandbox.getInfo()).metadata.who;
const again = await Sandbox.connect(sandbox.sandboxId);
seen.again = await again.files.read("data/one.csv");
const listed = await Sandbox.list().nextItems();
seen.found = listed.some((each) => each.sandboxId === sandbox.sandboxId);
await sandbox.kill();
console.log(JSON.stringify(seen));
