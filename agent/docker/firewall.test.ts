import assert from "node:assert/strict";
import { test } from "node:test";
import { chainsOf, isAhead, isCidr, nameServers, restoreScript } from "./firewall.ts";

test("exceptions come before refusals, and the host's own ports are refused last", () => {
  const script = restoreScript(chainsOf("rh-0123456789a"), ["10.0.0.53"], ["10.1.2.0/24"]);
  const lines = script.split("\n");
  const at = (line: string) => lines.indexOf(line);
  const forward = "-A RAILHEAD-FWD-rh-0123456789a";
  const input = "-A RAILHEAD-IN-rh-0123456789a";
  const refused = at(`${forward} -d 10.0.0.0/8 -j REJECT`);
  assert.ok(at(`${forward} -d 10.1.2.0/24 -j RETURN`) > 0);
  assert.ok(at(`${forward} -d 10.1.2.0/24 -j RETURN`) < refused);
  assert.ok(at(`${forward} -d 10.0.0.53 -p udp --dport 53 -j RETURN`) < refused);
  assert.ok(at(`${forward} -d 169.254.0.0/16 -j REJECT`) > 0);
  assert.equal(at(`${input} -j REJECT`), lines.length - 3);
});

test("the names of chains fit what iptables takes", () => {
  for (const name of Object.values(chainsOf("rh-0123456789a"))) assert.ok(name.length <= 28, name);
});

test("loopback and IPv6 name servers are left to the engine", () => {
  const text = "# nameserver 9.9.9.9\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.2\n";
  assert.deepEqual(nameServers(`${text}nameserver 10.0.0.2\noptions ndots:0\n`), ["10.0.0.2"]);
});

test("only IPv4 addresses and ranges are taken as exceptions", () => {
  for (const good of ["10.0.0.1", "10.0.0.0/8", "0.0.0.0/0"]) assert.ok(isCidr(good), good);
  for (const bad of [
    "",
    "10.0.0.0/33",
    "10.0.0/8",
    "::1",
    "10.0.0.0/8/8",
    "10.0.0.0/",
    "a -j ACCEPT",
  ])
    assert.ok(!isCidr(bad), bad);
});

test("a rule of others before ours is noticed, those of other agents are not", () => {
  const jump = "-i rh-1 -j RAILHEAD-IN-rh-1";
  const [ours, other, accept] = [
    `-A INPUT ${jump}`,
    "-A INPUT -i rh-2 -j RAILHEAD-IN-rh-2",
    "-A INPUT -j ACCEPT",
  ];
  const ahead = (...rules: string[]) =>
    isAhead(["-P INPUT ACCEPT", "-A FORWARD -j ACCEPT", ...rules, ""].join("\n"), "INPUT", jump);
  assert.ok(ahead(ours, accept));
  assert.ok(ahead(other, ours));
  assert.ok(!ahead(accept, ours));
  assert.ok(!ahead(other, accept));
  assert.ok(!ahead());
});
