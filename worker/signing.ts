import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ClientOptions } from '@temporalio/client';
import { ApplicationFailure, type Payload, type PayloadCodec } from '@temporalio/common';
import type { WorkerOptions } from '@temporalio/worker';
import { messageOf, permanent } from '../model/errors.ts';
import { SIGNATURE, UNSIGNED } from '../model/payload-signature.ts';
import { unsignedSince } from '../workflows/tolerant-converter.ts';

/**
 * Signs what commands, workers and workflows send each other through Temporal. Whoever reaches the server can start workflows, and can even
 * answer in place of a worker. But a worker does only what its installation's key has signed, and the server never sees that key. Payloads
 * stay readable. docs/security.md says what signatures don't prevent: a signed payload can be sent again.
 */

/** Environment variable that names the file of the key. Unset: nothing is signed, and nothing needs a signature. */
export const SIGNING_KEY_FILE = 'HOLDFAST_SIGNING_KEY_FILE';

/** The key of an installation. */
export interface SigningKey {
  readonly key: Buffer;
  /** Since when the installation has the key. Runs that began earlier need no signature. */
  readonly since: Date;
}

/** The key that an environment names; undefined where it names none. @throws HoldfastError as `readSigningKey` */
export function configuredSigningKey(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): SigningKey | undefined {
  const file = environment[SIGNING_KEY_FILE];
  return file === undefined || file === '' ? undefined : readSigningKey(file);
}

/** Reads a key. @throws HoldfastError `SIGNING_KEY` (permanent) where the file can't be read, holds no key, or may be read by others */
export function readSigningKey(file: string): SigningKey {
  try {
    if ((statSync(file).mode & 0o077) !== 0) throw new Error('others than its owner may use it (chmod 600)');
    const { key, since } = JSON.parse(readFileSync(file, 'utf8'));
    const read = { key: Buffer.from(String(key), 'base64'), since: new Date(String(since)) };
    if (read.key.length < 32 || Number.isNaN(read.since.getTime())) throw new Error('it holds no key');
    return read;
  } catch (error) {
    throw permanent(
      'SIGNING_KEY',
      `the key that signs what Temporal carries can't be used: ${file} (${messageOf(error)})`,
      `Put the installation's key there for its owner alone, or unset ${SIGNING_KEY_FILE} on all workers and commands.`,
      error,
    );
  }
}

/** Makes a random key. It counts from now on. */
export function newSigningKey(): SigningKey {
  return { key: randomBytes(32), since: new Date() };
}

/** Writes a key that only its owner may read, whole or not at all. */
export async function writeSigningKey(file: string, { key, since }: SigningKey): Promise<void> {
  const document = { key: key.toString('base64'), since: since.toISOString() };
  await writeFile(`${file}.new`, `${JSON.stringify(document)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** Signs outgoing payloads. Marks incoming ones that have no valid signature; their reader decides what that means. */
export function signingCodec({ key, since }: SigningKey): PayloadCodec {
  const mark = Buffer.from(String(since.getTime()));
  return {
    encode: async (payloads) =>
      payloads.map((payload) => ({
        ...payload,
        metadata: { ...bare(payload), [SIGNATURE]: signatureOf(payload, key) },
      })),
    decode: async (payloads) =>
      payloads.map((payload) => ({
        ...payload,
        metadata: isSigned(payload, key) ? bare(payload) : { ...bare(payload), [UNSIGNED]: mark },
      })),
  };
}

/** Options of a client that signs. */
export function clientSigning(key: SigningKey | undefined): Pick<ClientOptions, 'dataConverter'> {
  return key === undefined ? {} : { dataConverter: { payloadCodecs: [signingCodec(key)] } };
}

/** Options of a worker that signs, and whose activities refuse unsigned input. Its workflows refuse it by `workflows/signed-input.ts`. */
export function workerSigning(
  key: SigningKey | undefined,
): Pick<WorkerOptions, 'dataConverter' | 'interceptors'> {
  if (key === undefined) return {};
  const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
  const converter = new URL(`../workflows/tolerant-converter.${extension}`, import.meta.url);
  return {
    dataConverter: {
      payloadConverterPath: fileURLToPath(converter),
      payloadCodecs: [signingCodec(key)],
    },
    interceptors: {
      activity: [
        ({ info }) => ({
          inbound: {
            execute(input, next) {
              const forged = input.args.map(unsignedSince).find((at) => at !== undefined);
              if (forged !== undefined && info.scheduledTimestampMs >= forged)
                throw refusal(info.activityType);
              return next(input);
            },
          },
        }),
      ],
    },
  };
}

function refusal(activity: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `the activity ${activity} was not asked for by a worker of this installation, whose signature its input lacks; use the installation's own commands (docs/security.md)`,
    'UNSIGNED_INPUT',
  );
}

function bare({ metadata }: Payload): Record<string, Uint8Array> {
  const { [SIGNATURE]: _signature, [UNSIGNED]: _mark, ...others } = metadata ?? {};
  return others;
}

function isSigned(payload: Payload, key: Buffer): boolean {
  const signature = payload.metadata?.[SIGNATURE];
  const wanted = signatureOf(payload, key);
  return signature?.length === wanted.length && timingSafeEqual(signature, wanted);
}

/** The signature covers the encoding, which says how the data is read, and the data. The length between them keeps the two apart. */
function signatureOf({ metadata, data }: Payload, key: Buffer): Buffer {
  // Protobuf gives an empty array for missing bytes, as in a payload of `undefined`.
  const encoding = Uint8Array.from(metadata?.encoding ?? []);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(encoding.length);
  return createHmac('sha256', key)
    .update(length)
    .update(encoding)
    .update(Uint8Array.from(data ?? []))
    .digest();
}
