import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';

/** Stands for a payload that is not what its metadata says it is; see `payloadConverter`. */
export interface Undecodable {
  readonly undecodable: string;
}

export function isUndecodable(value: unknown): value is Undecodable {
  return typeof value === 'object' && value !== null && 'undecodable' in value;
}

/**
 * How workflows read what they are sent. A person types signals by hand, and the server takes any text for JSON; the SDK's own
 * converter would throw there, which fails the workflow task again and again and wedges the workflow for good. Here such
 * a payload becomes a value that its handler refuses.
 */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, ...rest) => defaultPayloadConverter.toPayload(value, ...rest),
  fromPayload<T>(payload: Payload, ...rest: unknown[]): T {
    try {
      return (defaultPayloadConverter.fromPayload as (...all: unknown[]) => T)(payload, ...rest);
    } catch (error) {
      const undecodable: Undecodable = {
        undecodable: error instanceof Error ? error.message : String(error),
      };
      return undecodable as T;
    }
  },
};
