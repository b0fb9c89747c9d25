import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';
import { unsignedPayloadSince } from '../model/payload-signature.ts';

/** Stands for a payload that is not what its metadata says it is; see `payloadConverter`. */
interface Undecodable {
  readonly undecodable: string;
}

export function isUndecodable(value: unknown): value is Undecodable {
  return typeof value === 'object' && value !== null && 'undecodable' in value;
}

const unsigned = new WeakMap<object, number>();

/** Since when this installation signs, in milliseconds since 1970, if the value was read of a payload that should be signed and isn't. */
export function unsignedSince(value: unknown): number | undefined {
  return typeof value === 'object' && value !== null ? unsigned.get(value) : undefined;
}

/**
 * How workflows read their payloads. A person types signals by hand, and the server accepts any text as JSON. The SDK's own converter
 * would throw on it, which fails the workflow task again and again and blocks the workflow for good. Here such a payload becomes a
 * value that its handler refuses.
 */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, ...rest) => defaultPayloadConverter.toPayload(value, ...rest),
  fromPayload<T>(payload: Payload, ...rest: unknown[]): T {
    try {
      const value = (defaultPayloadConverter.fromPayload as (...all: unknown[]) => T)(payload, ...rest);
      const since = unsignedPayloadSince(payload);
      if (since !== undefined && typeof value === 'object' && value !== null) unsigned.set(value, since);
      return value;
    } catch (error) {
      const undecodable: Undecodable = {
        undecodable: error instanceof Error ? error.message : String(error),
      };
      return undecodable as T;
    }
  },
};
