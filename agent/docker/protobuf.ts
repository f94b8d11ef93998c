/** The wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding), as far as BuildKit's messages need it. */

/** A number, or the bytes of a text, a byte string or a message. Fixed-width values are passed over. */
export type Field = [number: number, value: number | Buffer];

/** @throws RangeError for bytes that are no message */
export function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message.readUInt8(at++);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    if (key % 8 === 0) fields.push([number, varint()]);
    else if (key % 8 === 2) {
      const length = varint();
      if (length > message.length - at) throw new RangeError("a field is cut off");
      fields.push([number, message.subarray(at, at + length)]);
      at += length;
    } else if (key % 8 === 1) at += 8;
    else if (key % 8 === 5) at += 4;
    else throw new RangeError("a field has no type that we know");
  }
  return fields;
}

/** A text, byte string or message as field `number`, which is below 16. */
export function bytesField(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([number * 8 + 2, ...varintOf(bytes.length)]), bytes]);
}

/** A number or truth value as field `number`, which is below 16. */
export function numberField(number: number, value: number): Buffer {
  return Buffer.from([number * 8, ...varintOf(value)]);
}

function varintOf(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varintOf(Math.floor(value / 128))];
}
