import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Problem } from "../shared/problem.ts";
import { boundaryOf, readParts } from "./multipart.ts";

const BOUNDARY = "----WebKitFormBoundaryE19zNvXGzXaLvS5C";

function body(...parts: string[]): string {
  const all = parts.map(
    (part, i) => `--${BOUNDARY}\r\nContent-Disposition: form-data; name="p${i}"\r\n\r\n${part}\r\n`,
  );
  return `${all.join("")}--${BOUNDARY}--\r\n`;
}

async function* inPieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function parse(text: string, size = 7): Promise<string[]> {
  const parts: string[] = [];
  for await (const { content } of readParts(inPieces(text, size), BOUNDARY)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) chunks.push(chunk);
    parts.push(Buffer.concat(chunks).toString("latin1"));
  }
  return parts;
}

describe("multipart bodies", () => {
  test("parts come whole, however the network cuts the body", async () => {
    const parts = [
      "plain",
      "",
      "\r\n",
      `\r\n--${BOUNDARY.slice(0, -1)}`,
      `--${BOUNDARY} inside a line`,
      "\r\r\n\n\r",
      String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i)),
    ];
    const text = body(...parts);
    for (let size = 1; size <= text.length; size++)
      assert.deepEqual(await parse(text, size), parts, `in pieces of ${size}`);
  });

  test("what comes before the first and after the last boundary is no part", async () => {
    assert.deepEqual(await parse(`a preamble\r\n${body("one")}an epilogue`), ["one"]);
  });

  test("a part that is not read is skipped", async () => {
    const seen: string[] = [];
    let at = 0;
    for await (const { content } of readParts(inPieces(body("first", "second"), 5), BOUNDARY)) {
      if (at++ === 0) continue;
      for await (const chunk of content) seen.push(Buffer.from(chunk).toString());
    }
    assert.equal(seen.join(""), "second");
  });

  test("a part says its field, and whether it is a file", async () => {
    const seen: [name: string, isFile: boolean][] = [];
    const parts = [
      'Content-Disposition: form-data; name="a b"',
      'content-type: text/plain\r\nCONTENT-DISPOSITION:form-data; filename="x; name=y.tar" ; Name=data',
      'Content-Disposition: form-data; name="data"; filename=""',
      "Content-Type: text/plain",
    ];
    const all = parts.map((headers) => `--${BOUNDARY}\r\n${headers}\r\n\r\nx\r\n`).join("");
    const input = inPieces(`${all}--${BOUNDARY}--`, 9);
    for await (const { name, isFile } of readParts(input, BOUNDARY)) seen.push([name, isFile]);
    assert.deepEqual(seen, [
      ["a b", false],
      ["data", true],
      ["data", true],
      ["", false],
    ]);
  });

  test("parts need no headers, and blanks behind a boundary are its own", async () => {
    assert.deepEqual(await parse(`--${BOUNDARY} \t\r\n\r\nbare\r\n--${BOUNDARY}--`), ["bare"]);
  });

  test("a body that ends early, or has headers without end, is refused", async () => {
    const whole = body("one", "two");
    const refused = (error: unknown) => error instanceof Problem && error.code === "bad_body";
    for (const length of [0, 3, 60, whole.length - 6])
      await assert.rejects(parse(whole.slice(0, length)), refused, `cut at ${length}`);
    const endless = `--${BOUNDARY}\r\nX: ${"x".repeat(20_000)}`;
    await assert.rejects(parse(endless, 1_000), refused);
    await assert.rejects(parse("y".repeat(20_000), 1_000), refused);
  });

  test("the boundary is read from the content type, quoted or not", () => {
    assert.equal(boundaryOf("multipart/form-data; boundary=abc"), "abc");
    assert.equal(boundaryOf('Multipart/Form-Data; charset=utf-8; Boundary="a b:c"'), "a b:c");
    assert.equal(boundaryOf("multipart/form-data"), null);
    assert.equal(boundaryOf("application/json"), null);
    assert.equal(boundaryOf(undefined), null);
    assert.equal(boundaryOf(`multipart/form-data; boundary=${"b".repeat(71)}`), null);
  });
});
