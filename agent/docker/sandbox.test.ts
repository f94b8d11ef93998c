import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunSpec } from "./contracts.ts";
import { sandbox } from "./sandbox.ts";

const GIB = 1024 ** 3;

const SPEC: RunSpec = {
  owner: { agent: "default.0123456789abcdef", build: "b".repeat(32), attempt: 2 },
  phase: "build",
  image: "golang:1",
  command: ["make", "all"],
  env: { GOOS: "linux" },
  working_dir: "/work/src",
  mounts: [
    { volume: "workspace", target: "/work", read_only: false },
    { volume: "std", target: "/std", read_only: true },
  ],
  network: { kind: "none" },
  limits: { cpus: 8, memory_bytes: 4 * GIB, pids: 512, disk_bytes: 2 * GIB },
  deadline_ms: 60_000,
  stdin: null,
};

test("the whole body of a build's container, member by member", () => {
  const volume = { NoCopy: true, Labels: {}, DriverConfig: { Name: "local", Options: {} } };
  assert.deepEqual(sandbox(SPEC, { cpus: 2, outbound: "out" }), {
    Image: "golang:1",
    User: "1000:1000",
    WorkingDir: "/work/src",
    Env: ["HOME=/tmp", "GOOS=linux"],
    Entrypoint: ["timeout", "-k", "10", "120"],
    Cmd: ["make", "all"],
    Labels: {
      "railhead.agent": "default.0123456789abcdef",
      "railhead.build": "b".repeat(32),
      "railhead.attempt": "2",
      "railhead.phase": "build",
      "railhead.deadline_ms": "60000",
    },
    Tty: false,
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    OpenStdin: false,
    StdinOnce: false,
    HostConfig: {
      NetworkMode: "none",
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      Privileged: false,
      ReadonlyRootfs: true,
      IpcMode: "private",
      Init: true,
      RestartPolicy: { Name: "no" },
      PidsLimit: 512,
      Memory: 4 * GIB,
      MemorySwap: 4 * GIB,
      NanoCpus: 2e9,
      Ulimits: [
        { Name: "nofile", Soft: 4096, Hard: 4096 },
        { Name: "core", Soft: 0, Hard: 0 },
        { Name: "fsize", Soft: 2 * GIB, Hard: 2 * GIB },
      ],
      Tmpfs: { "/tmp": `rw,exec,nosuid,nodev,mode=1777,size=${GIB}` },
      LogConfig: {
        Type: "local",
        Config: { "max-size": "20971520", "max-file": "5", compress: "false", mode: "blocking" },
      },
      Mounts: [
        {
          Type: "volume",
          Source: "workspace",
          Target: "/work",
          ReadOnly: false,
          VolumeOptions: volume,
        },
        { Type: "volume", Source: "std", Target: "/std", ReadOnly: true, VolumeOptions: volume },
      ],
    },
  });
});

test("outbound is the agent's own network without IPv6, and none where there is no firewall", () => {
  const spec: RunSpec = { ...SPEC, network: { kind: "outbound" } };
  const open = sandbox(spec, { cpus: 2, outbound: "railhead-outbound" }).HostConfig;
  assert.equal(open?.NetworkMode, "railhead-outbound");
  assert.deepEqual(open?.Sysctls, { "net.ipv6.conf.all.disable_ipv6": "1" });
  const closed = sandbox(spec, { cpus: 2, outbound: null }).HostConfig;
  assert.equal(closed?.NetworkMode, "none");
  assert.equal(closed?.Sysctls, undefined);
});

test("a secret is a container's input, and in nothing that docker inspect shows", () => {
  const body = sandbox({ ...SPEC, stdin: "token-of-a-user" }, { cpus: 2, outbound: null });
  assert.equal(body.OpenStdin, true);
  assert.equal(body.StdinOnce, true);
  assert.doesNotMatch(JSON.stringify(body), /token-of-a-user/);
});

test("what the recipe sets as HOME wins", () => {
  const body = sandbox({ ...SPEC, env: { HOME: "/work/home" } }, { cpus: 2, outbound: null });
  assert.deepEqual(body.Env, ["HOME=/work/home"]);
});
