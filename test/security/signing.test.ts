import { createRequire } from 'node:module';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { UNSIGNED, unsignedPayloadSince } from '../../model/payload-signature.ts';
import { newSigningKey, signingCodec } from '../../worker/signing.ts';

const key = newSigningKey();
const codec = signingCodec(key);
const { temporal } = createRequire(import.meta.filename)('@temporalio/proto') as {
  temporal: { api: { common: { v1: { Payload: { create(fields: object): Payload } } } } };
};

async function through(payload: Payload, change: (sent: Payload) => Payload = (sent) => sent) {
  const [sent = payload] = await codec.encode([payload]);
  const [read = payload] = await codec.decode([change(sent)]);
  return read;
}

test.each([
  ['an object', { plan: 'orders' }],
  ['a list', [1, 2]],
  ['nothing', undefined],
  ['null', null],
])('%s comes through as it was sent, and signed', async (_what, value) => {
  const payload = defaultPayloadConverter.toPayload(value) ?? {};
  const read = await through(payload);
  expect(unsignedPayloadSince(read)).toBeUndefined();
  expect(Object.keys(read.metadata ?? {})).toEqual(Object.keys(payload.metadata ?? {}));
  expect(defaultPayloadConverter.fromPayload(read)).toEqual(value);
  // As the worker's core hands it over: absent bytes are an empty array there.
  const message = temporal.api.common.v1.Payload.create({ ...payload });
  expect(unsignedPayloadSince(await through(message))).toBeUndefined();
});

test.each<[string, (sent: Payload) => Payload]>([
  ['other data', (sent) => ({ ...sent, data: Buffer.from('{"plan":"other"}') })],
  [
    'another encoding',
    (sent) => ({ ...sent, metadata: { ...sent.metadata, encoding: Buffer.from('binary/plain') } }),
  ],
  [
    'no signature',
    ({ data, metadata }) => ({
      data: data ?? null,
      metadata: { encoding: metadata?.encoding ?? Buffer.of() },
    }),
  ],
  [
    'no signature, and a mark of the sender’s own',
    ({ data, metadata }) => ({
      data: data ?? null,
      metadata: { encoding: metadata?.encoding ?? Buffer.of(), [UNSIGNED]: Buffer.from('99999999999999') },
    }),
  ],
])('%s is marked, with the instant of this installation’s key', async (_what, change) => {
  const read = await through(defaultPayloadConverter.toPayload({ plan: 'orders' }) ?? {}, change);
  expect(unsignedPayloadSince(read)).toBe(key.since.getTime());
});

test('the signature of another installation is none', async () => {
  const [sent] = await signingCodec(newSigningKey()).encode([defaultPayloadConverter.toPayload(1) ?? {}]);
  const [read] = await codec.decode([sent ?? {}]);
  expect(unsignedPayloadSince(read)).toBe(key.since.getTime());
});
