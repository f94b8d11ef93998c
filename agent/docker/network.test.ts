import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { type DockerWorld, dockerWorld, finish } from "../../test/support/docker.ts";
import { engine } from "../../test/support/engine.ts";
import { DockerError, type RunHandle } from "./contracts.ts";
import { dockerHost } from "./index.ts";

const run = promisify(execFile);
const iptables = (...args: string[]) => run("iptables", ["-w", ...args]);

/** Answers every connection with `hello`, on all of the host's addresses. */
const listener = createServer((socket) => {
  socket.on("error", () => {});
  socket.end("hello\n");
});
let port: number;
let hostAddress: string;
let world: DockerWorld;

before(async () => {
  listener.listen(0, "0.0.0.0");
  await once(listener, "listening");
  port = (listener.address() as AddressInfo).port;
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  hostAddress =
    addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "";
  world = await dockerWorld();
});
after(async () => {
  listener.close();
  await world[Symbol.asyncDispose]();
});

/** A shell script that prints what answers at `address`, or `no` at once when it is refused. */
function knock(address: string, at: number): string {
  const script = `exec 3<>/dev/tcp/${address}/${at} && head -n 1 <&3`;
  return `timeout 10 bash -c '${script}' 2>/dev/null || { test $? = 124 && echo silence || echo no; }`;
}

async function outbound(script: string, in_world = world): Promise<string> {
  const spec = in_world.spec(in_world.owner(), script, { network: { kind: "outbound" } });
  return (await finish(await in_world.host.create(spec))).stdout;
}

type Attached = { IPAddress: string; Gateway: string };

async function attached(handle: RunHandle): Promise<Attached> {
  const found = await engine<{ NetworkSettings: { Networks: Record<string, Attached> } }>(
    "GET",
    `/containers/${handle.id}/json`,
  );
  const [network] = Object.values(found.NetworkSettings.Networks);
  assert.ok(network);
  return network;
}

/** The machine's own package mirror: what is surely public and in reach. */
async function mirror(): Promise<{ host: string; port: number; path: string }> {
  const sources = await readFile("/etc/apt/sources.list.d/debian.sources", "utf8").catch(() =>
    readFile("/etc/apt/sources.list", "utf8"),
  );
  const url = new URL(/https?:\/\/\S+/.exec(sources.replaceAll(/^#.*$/gm, ""))?.[0] ?? "");
  return { host: url.hostname, port: Number(url.port) || 80, path: url.pathname };
}

test("a public host answers, by its name", async () => {
  const { host, port, path } = await mirror();
  const request = `HEAD ${path}/ HTTP/1.0\\r\\nHost: ${host}\\r\\n\\r\\n`;
  const answer = await outbound(
    `bash -c "exec 3<>/dev/tcp/${host}/${port}; printf '${request}' >&3; head -n 1 <&3"`,
  );
  assert.match(answer, /^HTTP\/1\.[01] /);
});

test("the host, its neighbours, private and metadata addresses are refused at once", async () => {
  const owner = world.owner();
  const server = `use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5)
    or die; print "ready\\n"; STDOUT->flush; while (my $c = $s->accept) { print $c "hello\\n"; close $c }`;
  const neighbour = await world.host.create(
    world.spec(owner, `exec perl -e '${server}'`, { network: { kind: "outbound" } }),
  );
  await neighbour.start();
  const output = neighbour.output()[Symbol.asyncIterator]();
  assert.equal((await output.next()).value?.data.toString(), "ready\n");
  const { IPAddress, Gateway } = await attached(neighbour);

  // What is refused below is there: the host reaches it.
  const { stdout } = await run("bash", ["-c", knock(IPAddress, 8080)]);
  assert.equal(stdout, "hello\n");
  const answers = await outbound(
    [
      knock(Gateway, port),
      knock(hostAddress, port),
      knock("172.17.0.1", port),
      knock("127.0.0.1", port),
      knock("169.254.169.254", 80),
      knock("10.1.2.3", 80),
      knock("100.64.0.1", 80),
      knock(IPAddress, 8080),
    ].join("\n"),
  );
  assert.deepEqual(answers.trim().split("\n"), Array(8).fill("no"));
  await neighbour.remove();
});

test("there is no IPv6 to go around it", async () => {
  assert.equal(await outbound("cat /proc/net/if_inet6 | wc -l"), "0\n");
});

test("an address that the operator names is reached, even the host's", async () => {
  await using open = await dockerWorld({ allow_addresses: [`${hostAddress}/32`] });
  const script = `${knock(hostAddress, port)}; ${knock("172.17.0.1", port)}`;
  assert.equal(await outbound(script, open), "hello\nno\n");
});

test("rules that somebody flushed, or put an acceptance before, are set right before the next use", async () => {
  await outbound("true");
  const { stdout } = await iptables("-S", "INPUT");
  const network = await engine<{ Options: Record<string, string> }>(
    "GET",
    `/networks/railhead-outbound-${world.agent}`,
  );
  const bridge = network.Options["com.docker.network.bridge.name"] ?? "";
  const chain = stdout
    .split("\n")
    .find((line) => line.includes(bridge))
    ?.split(" ")
    .at(-1);
  assert.ok(chain);
  const accept = ["INPUT", "-i", bridge, "-j", "ACCEPT"];
  await iptables("-F", chain);
  await iptables("-I", ...accept);
  try {
    assert.equal(await outbound(knock(hostAddress, port)), "no\n");
  } finally {
    await iptables("-D", ...accept);
  }
});

test("an exception that is no address is refused before anything is done with it", () => {
  assert.throws(
    () => dockerHost({ agent: "x", folder: "/nonexistent", allow_addresses: ["example.com"] }),
    (error) => error instanceof DockerError && error.kind === "invalid",
  );
});

test("nothing of network and rules stays when the agent retires", async () => {
  const gone = await dockerWorld();
  await outbound("true", gone);
  const before = await iptables("-S");
  await gone[Symbol.asyncDispose]();
  const rules = await iptables("-S");
  const lost = before.stdout.split("\n").filter((line) => !rules.stdout.split("\n").includes(line));
  assert.ok(lost.some((line) => line.startsWith("-N RAILHEAD-")));
  await assert.rejects(engine("GET", `/networks/railhead-outbound-${gone.agent}`));
});
