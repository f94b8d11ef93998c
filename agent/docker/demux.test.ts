import assert from "node:assert/strict";
import { test } from "node:test";
import { DockerError } from "./contracts.ts";
import { Demux, type Piece } from "./demux.ts";

type Frame = { stream: "stdout" | "stderr"; data: Buffer };

/** A small generator of pseudo-random numbers, so that a failure can be repeated by its seed. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function encode(frames: Frame[]): Buffer {
  return Buffer.concat(
    frames.flatMap(({ stream, data }) => {
      const header = Buffer.alloc(8);
      header[0] = stream === "stdout" ? 1 : 2;
      header.writeUInt32BE(data.length, 4);
      return [header, data];
    }),
  );
}

function join(pieces: Piece[]): Record<"stdout" | "stderr", string> {
  const of = (stream: string) =>
    Buffer.concat(
      pieces.filter((piece) => piece.stream === stream).map(({ data }) => data),
    ).toString("latin1");
  return { stdout: of("stdout"), stderr: of("stderr") };
}

test("frames come out whole wherever the connection cuts them", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const below = random(seed);
    const frames = Array.from({ length: below(20) }, (): Frame => {
      const size = below(4) === 0 ? 0 : below(below(2) === 0 ? 12 : 5_000);
      const data = Buffer.from(Array.from({ length: size }, () => below(256)));
      return { stream: below(2) === 0 ? "stdout" : "stderr", data };
    });
    const wire = encode(frames);
    const demux = new Demux();
    const pieces: Piece[] = [];
    for (let at = 0; at < wire.length; ) {
      const size = 1 + below(below(2) === 0 ? 9 : 3_000);
      pieces.push(...demux.feed(wire.subarray(at, at + size)));
      at += size;
    }
    const sent = frames.map(({ stream, data }) => ({ stream, data, size: 0, last: true }));
    assert.deepEqual(join(pieces), join(sent), `seed ${seed}`);
    const whole = frames.filter(({ data }) => data.length > 0);
    assert.equal(pieces.filter(({ last }) => last).length, whole.length, `seed ${seed}`);
  }
});

test("a hundred thousand frames of one byte in one chunk are no problem", () => {
  const frames = Array.from(
    { length: 100_000 },
    (): Frame => ({
      stream: "stdout",
      data: Buffer.from("x"),
    }),
  );
  assert.equal(new Demux().feed(encode(frames)).length, 100_000);
});

test("output that is not framed is refused instead of misread", () => {
  assert.throws(
    () => new Demux().feed(Buffer.from("plain text of a terminal")),
    (error) => error instanceof DockerError && error.kind === "invalid",
  );
});
