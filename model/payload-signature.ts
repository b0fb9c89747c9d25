/** Names in the metadata of Temporal's payloads. */

/** Holds the signature by an installation's key (`worker/signing.ts`). It is added to what a process sends and removed from what it receives. */
export const SIGNATURE = 'holdfast-signature';

/**
 * Marks received payloads that have no valid signature, where an installation has a key; nobody outside can remove it. It holds the time since
 * which this installation signs, in milliseconds since 1970 as digits: runs that began before then go on.
 */
export const UNSIGNED = 'holdfast-unsigned';

/** The part of a payload that is looked at. */
export interface MarkedPayload {
  readonly metadata?: Readonly<Record<string, Uint8Array>> | null;
}

/** If the payload should be signed and isn't: since when this installation signs, in milliseconds since 1970. Else undefined. */
export function unsignedPayloadSince(payload: MarkedPayload | null | undefined): number | undefined {
  const mark = payload?.metadata?.[UNSIGNED];
  return mark === undefined ? undefined : Number(String.fromCharCode(...mark));
}
