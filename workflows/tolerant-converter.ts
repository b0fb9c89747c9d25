import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';
import { unsignedPayloadSince } from '../model/payload-signature.ts';

/** Replaces a payload that doesn't have the form that its metadata states; see `payloadConverter`. */
interface Undecodable {
  readonly undecodable: string;
}

/** Whether a value stands for a payload that could not be decoded. */
export function isUndecodable(value: unknown): value is Undecodable {
  return typeof value === 'object' && value !== null && 'undecodable' in value;
}

const unsigned = new WeakMap<object, number>();

/**
 * If the payload of this value should have been signed and wasn't: since when this installation signs, in milliseconds since 1970. Else
 * undefined.
 */
export function unsignedSince(value: unknown): number | undefined {
  return typeof value === 'object' && value !== null ? unsigned.get(value) : undefined;
}

/**
 * Reads the payloads of workflows. A person types signals by hand, and the server accepts any text as JSON. The SDK's own converter would
 * throw on bad text, which fails the workflow task again and again and so blocks the workflow for good. This one makes such a payload a
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
