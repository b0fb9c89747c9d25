import type { z } from 'zod';
import { permanent } from '../model/errors.ts';
import { sha256Hex } from './sha256.ts';
import { STORE_DAMAGED } from './store-errors.ts';

/**
 * M7: a reader checks what it reads. Sealed JSON contains the SHA-256 of its own text, so that a flipped byte is noticed even in
 * a file whose hash is stored nowhere else. It is plain JSON with two spaces of indentation, and its last member is
 *
 *     "sha256": "<hash of all bytes before this line>"
 *
 * Without Holdfast, `head -n -2 manifest.json | sha256sum` prints the same hash.
 */
export function sealJson(value: object): Uint8Array {
  return sealText(textOf(value));
}

/**
 * Sealed JSON with a signature of everything before it, as its last member but one:
 *
 *     "signature": "<armored, its line breaks written as \\n>",
 *     "sha256": "<hash of all bytes before this line>"
 *
 * @param sign signs the given bytes
 */
export async function sealSignedJson(
  value: object,
  sign: (message: Uint8Array) => Promise<string>,
): Promise<Uint8Array> {
  const text = textOf(value);
  return sealText(`${text}  "signature": ${JSON.stringify(await sign(Buffer.from(text)))},\n`);
}

/** What is signed in sealed JSON, and the signature. Undefined where there is none. */
export interface SignedText {
  readonly message: Uint8Array;
  readonly signature: string;
}

/** Finds the signature by lines alone: no text in JSON has a line break, and members of members are indented further. */
export function signedTextOf(bytes: Uint8Array): SignedText | undefined {
  const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = sealed.length - SEAL_CHARACTERS;
  if (end <= 1) return undefined;
  const start = sealed.lastIndexOf('\n', end - 2) + 1;
  const line = SIGNATURE.exec(sealed.toString('utf8', start, end));
  if (line?.[1] === undefined) return undefined;
  return { message: sealed.subarray(0, start), signature: line[1].replaceAll('\\n', '\n') };
}

const SIGNATURE = /^ {2}"signature": "([A-Za-z0-9+/= \\-]*)",\n$/;

function textOf(value: object): string {
  const text = JSON.stringify(value, undefined, 2);
  return `${text.slice(0, -'\n}'.length)},\n`;
}

function sealText(covered: string): Uint8Array {
  return Buffer.from(`${covered}  "sha256": "${sha256Hex(Buffer.from(covered))}"\n}\n`);
}

const SEAL = /\n( {2}"sha256": "([0-9a-f]{64})"\n\}\n)$/;
const SEAL_CHARACTERS = `  "sha256": "${'0'.repeat(64)}"\n}\n`.length;

/**
 * The value of sealed JSON. Checks its seal and its schema. Leaves unknown members out, since a newer Holdfast may add some
 * within a format version. Throws `STORE_DAMAGED` (permanent) naming `what`.
 */
export function openSealedJson<T>(bytes: Uint8Array, schema: z.ZodType<T>, what: string): T {
  const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const covered = sealed.subarray(0, Math.max(0, sealed.length - SEAL_CHARACTERS));
  const seal = SEAL.exec(sealed.subarray(Math.max(0, covered.length - 1)).toString());
  if (seal === null) throw damagedJson(what, 'its last line does not hold the SHA-256 of the text before');
  if (seal[2] !== sha256Hex(covered))
    throw damagedJson(what, 'its text differs from the SHA-256 in its last line');
  const parsed = schema.safeParse(parse(sealed.toString(), what));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw damagedJson(what, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not as documented'}`);
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damagedJson(what, 'it is not JSON', error);
  }
}

function damagedJson(what: string, reason: string, cause?: unknown): Error {
  return permanent(
    STORE_DAMAGED,
    `${what} is damaged: ${reason}.`,
    'Restore from another backup or a copy of the repository, and have the storage checked.',
    cause,
  );
}
